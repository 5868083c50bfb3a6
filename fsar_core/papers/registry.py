"""Find kinds of tables, figures and report pages by the names of their modules; read their YAML.

    tables/accuracy.py    class AccuracyTable(TableKind)
    figures/curves.py     class CurvesFigure(FigureKind)
    report/effects.py     class EffectsPage(Page)

The class is the only one in its module that derives from the base class; its name is free. A kind
may be a package. Modules whose names start with `_` are shared by kinds and define none.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any, Literal

from fsar_core.config import read_yaml, validate
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.papers.kinds import FigureKind, Kind, Page, TableKind

PACKAGE = Path(__file__).parents[1]

Group = Literal["tables", "figures", "report"]
_BASES: dict[str, type[Kind]] = {"tables": TableKind, "figures": FigureKind, "report": Page}
# What one of them is called, and the kind of a file that names none.
_CALLED = {"tables": "table", "figures": "figure", "report": "page"}
_DEFAULTS = {"tables": "accuracy", "figures": "curves"}


@cache
def kinds(group: Group) -> tuple[str, ...]:
    """Return the names of all kinds of a group, sorted; nothing is imported.

    Example:
        >>> kinds("tables")
        ('accuracy', 'datasets', 'parameters')
    """
    folder = PACKAGE / group
    modules = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return tuple(sorted(name for name in modules | packages if not name.startswith("_")))


@cache
def kind(group: Group, name: str) -> type[Any]:
    """Return the class of a kind.

    Raises:
        FsarError: there is no such kind, or its module does not define exactly one.
    """
    if name not in kinds(group):
        hint = did_you_mean(name, kinds(group))
        raise FsarError(f"unknown kind of {_CALLED[group]} '{name}'{hint}")
    module = importlib.import_module(f"fsar_core.{group}.{name}")
    base = _BASES[group]
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise FsarError(
            f"{module.__file__}: defines {len(classes)} subclasses of {base.__name__}, expected one; "
            f"a module of {group} that is no kind starts with `_`"
        )
    if missing := sorted(classes[0].__abstractmethods__):
        raise FsarError(f"{module.__file__}: {classes[0].__name__} lacks the method '{missing[0]}'")
    return classes[0]


def validate_table(value: Any, where: str) -> TableKind:
    """Return a table from plain data, of the kind that it names."""
    return _validated("tables", value, where)


def load_table(path: Path) -> TableKind:
    """Read and validate one file of workflow/tables."""
    return validate_table(read_yaml(path), str(path))


def validate_figure(value: Any, where: str) -> FigureKind:
    """Return a figure from plain data, of the kind that it names."""
    return _validated("figures", value, where)


def load_figure(path: Path) -> FigureKind:
    """Read and validate one file of workflow/figures."""
    return validate_figure(read_yaml(path), str(path))


def page_kinds() -> dict[str, type[Page]]:
    """Return the pages of every paper's report, by name."""
    return {name: kind("report", name) for name in kinds("report")}


def _validated(group: Group, value: Any, where: str) -> Any:
    usual = _DEFAULTS[group]
    name = value.get("kind", usual) if isinstance(value, dict) else usual
    if not isinstance(name, str) or name not in kinds(group):
        hint = did_you_mean(str(name), kinds(group))
        raise FsarError(f"{where}: unknown kind of {_CALLED[group]} '{name}'{hint}")
    return validate(kind(group, name), value, where)
