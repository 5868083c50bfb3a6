"""Kinds of tables, figures and pages are found by being there, and have to be complete."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Literal

import pytest

from fsar_core.errors import FsarError
from fsar_core.papers import registry
from fsar_core.papers.kinds import FigureKind


@pytest.fixture
def half(monkeypatch) -> ModuleType:
    """A module of figures that defines nothing yet."""
    module = ModuleType("fsar_core.figures.half")
    module.__file__ = "figures/half.py"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(registry, "kinds", lambda group: ("half",))
    registry.kind.cache_clear()
    yield module
    registry.kind.cache_clear()


def define(module: ModuleType, name: str, *methods: str) -> None:
    body = {"__module__": module.__name__, "__annotations__": {"kind": Literal["half"]}}
    body |= {method: lambda self: None for method in methods}
    setattr(module, name, type(FigureKind)(name, (FigureKind,), body))


def test_a_kind_that_lacks_a_method_is_one_line(half):
    define(half, "HalfFigure", "needs", "measured_on")
    with pytest.raises(FsarError, match=r"^figures/half\.py: HalfFigure lacks the method 'draw'$"):
        registry.kind("figures", "half")


@pytest.mark.parametrize("names", [(), ("OneFigure", "OtherFigure")])
def test_a_module_defines_exactly_one_kind(half, names):
    for name in names:
        define(half, name, "needs", "measured_on", "draw")
    told = rf"half\.py: defines {len(names)} subclasses of FigureKind, expected one"
    with pytest.raises(FsarError, match=told):
        registry.kind("figures", "half")


def test_a_complete_kind_is_returned(half):
    define(half, "HalfFigure", "needs", "measured_on", "draw")
    assert registry.kind("figures", "half") is half.HalfFigure


@pytest.mark.parametrize("group", ["tables", "figures", "report"])
def test_every_kind_is_complete(group):
    for name in registry.kinds(group):
        assert not registry.kind(group, name).__abstractmethods__
