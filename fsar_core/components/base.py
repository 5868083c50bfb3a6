"""The base class of everything that is chosen by name: backbones, heads, metrics, mask providers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from fsar_core.components.parameters import REQUIRED, Parameter
from fsar_core.components.source import constraint_of


class Component(nn.Module):
    """A network, or part of one, whose constructor enforces the constraints of its signature.

    Every value given to a constructor is checked against its annotation (`Literal`, `Annotated`,
    or a name from `fsar_core.components.parameters`); a violation is an FsarError that names the
    parameter, the value and what is valid.

    Example:
        >>> from fsar_core.components.parameters import PositiveInt
        >>> class Widget(Component):
        ...     def __init__(self, size: PositiveInt = 1) -> None:
        ...         super().__init__()
        >>> Widget(size=0)
        Traceback (most recent call last):
        fsar_core.errors.FsarError: widget: size=0 is not valid; valid: whole numbers from 1
    """

    parts: ClassVar[Mapping[str, str]] = {}
    """Parameters that name other components, and of which kind: `{"local": "matching"}`."""

    @property
    def name(self) -> str:
        """The name by which configurations choose this component."""
        return component_name(type(self))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _checked(cls.__init__)


def _checked(constructor: Any) -> Any:
    """Wrap a constructor so that it checks its arguments first."""
    signature = inspect.signature(constructor)

    @functools.wraps(constructor)
    def check_and_construct(self: Component, *args: Any, **kwargs: Any) -> None:
        owner = component_name(type(self))
        given = signature.bind(self, *args, **kwargs).arguments
        for name, annotation in _annotations(constructor).items():
            if name in given:
                Parameter(name, REQUIRED, annotation).check(owner, given[name])
        constructor(self, *args, **kwargs)

    return check_and_construct


@functools.cache
def _annotations(constructor: Any) -> dict[str, Any]:
    """Return the constraints of a constructor's parameters, by name."""
    annotations = inspect.get_annotations(constructor)
    annotations.pop("return", None)
    return {name: constraint_of(annotation) for name, annotation in annotations.items()}


def component_name(cls: type) -> str:
    """Return the name that configurations use: the file's, or the class's outside this package."""
    module = cls.__module__
    return module.rpartition(".")[2] if module.startswith("fsar_core.") else cls.__name__.lower()
