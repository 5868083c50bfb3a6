"""The base class of everything that is chosen by name: backbones, heads, metrics, mask providers."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from fsar_core.components.validation import check_arguments


class Component(nn.Module, ABC):
    """A network, or part of one, whose constructor enforces the constraints of its signature.

    Every value given to a constructor is checked against its annotation (`Literal`, `Annotated`,
    or a name from `fsar_core.components.parameters`); a violation is an FsarError that names the
    parameter, the value and what is valid.

    Example:
        >>> from fsar_core.components.parameters import PositiveInt
        >>> class Widget(Component):
        ...     def __init__(self, size: PositiveInt = 1) -> None:
        ...         super().__init__()
        >>> Widget(size=0)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        fsar_core.errors.FsarError: ...: size=0 is not valid; valid: whole numbers from 1
    """

    supplied: ClassVar[tuple[str, ...]] = ()
    """Parameters that the pipeline sets itself; no configuration needs to."""

    subcomponents: ClassVar[Mapping[str, str]] = {}
    """Parameters that name other components, and the kind of each: `{"local": "matching"}`.

    The parameters of such a component are the parameter with the suffix `_params`.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Wrap the constructor of a subclass so that it checks its arguments first."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = check_arguments(lambda self: component_name(type(self)))(cls.__init__)

    @property
    def name(self) -> str:
        """The name by which configurations choose this component."""
        return component_name(type(self))


def component_name(cls: type) -> str:
    """Return a component's name: its file's in this package, its class's elsewhere.

    Example:
        >>> from fsar_core.metrics.otam import OTAM
        >>> component_name(OTAM)
        'otam'
    """
    module = cls.__module__
    return module.rpartition(".")[2] if module.startswith("fsar_core.") else cls.__name__.lower()
