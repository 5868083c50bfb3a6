"""Constraints on component parameters, stated once, in the signature.

A parameter annotated `Literal["paper", "released"]` or `Annotated[int, Ge(1)]` (or with one of the
short names below) is checked when a configuration is read, without importing torch, and again when
the component is constructed. Other annotations, such as `nn.Module`, are not checked.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MultipleOf

from fsar_core.errors import FsarError

PositiveInt = Annotated[int, Ge(1)]
"""A whole number of at least 1."""

NonNegativeInt = Annotated[int, Ge(0)]
"""A whole number of at least 0."""

Positive = Annotated[float, Gt(0)]
"""A number above 0."""

NonNegative = Annotated[float, Ge(0)]
"""A number of at least 0, for example the weight of a loss."""

Probability = Annotated[float, Ge(0), Lt(1)]
"""A number from 0 to below 1, for example a dropout rate."""

Fraction = Annotated[float, Ge(0), Le(1)]
"""A number from 0 to 1."""

Shots = Literal["distance", "prototype"]
"""How the shots of a class are merged: by averaging distances, or features before comparing."""

Precision = Literal["float32", "bf16", "fp16"]
"""Arithmetic of a network's matrix products."""

REQUIRED: Final = "<required>"
"""Stands for the default of a parameter that has none."""

COMPUTED: Final = "<computed>"
"""Stands for a default that is no literal."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a component's constructor.

    Attributes:
        name: as in the signature.
        default: its literal default, `REQUIRED` or `COMPUTED`.
        annotation: its evaluated annotation; `Any` where it states no constraint.
    """

    name: str
    default: Any
    annotation: Any

    @property
    def choices(self) -> tuple[Any, ...]:
        """The valid values, if the parameter is limited to a few."""
        options = list(_options(self.annotation))
        values = [value for option in options for value in _values(option)]
        return tuple(values) if all(_values(option) for option in options) else ()

    def check(self, owner: str, value: Any) -> None:
        """Raise FsarError unless `value` satisfies the annotation.

        Args:
            owner: the component, for the message.
        """
        if _accepts(self.annotation, value):
            return
        valid = describe(self.annotation)
        if _is_exponent(self.annotation, value):
            raise FsarError(
                f"{owner}: {self.name} is the text '{value}', expected {valid}; YAML reads 1e-3 as text, write 1.0e-3"
            )
        raise FsarError(
            f"{owner}: {self.name}={value!r} is not valid; valid: {valid}{_nearest(self.annotation, value)}"
        )


def describe(annotation: Any) -> str:
    """Say in words which values an annotation allows.

    Example:
        >>> describe(Literal["paper", "released"])
        "'paper', 'released'"
        >>> describe(PositiveInt | None)
        'whole numbers from 1, or null'
        >>> describe(Probability)
        'numbers from 0 to below 1'
    """
    options = list(_options(annotation))
    parts = [_describe_option(option) for option in options if option is not types.NoneType]
    nullable = types.NoneType in options
    return ", ".join(parts) + (", or null" if nullable else "")


def _options(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, or the annotation itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _options(member)
    else:
        yield types.NoneType if annotation is None else annotation


def _values(option: Any) -> tuple[Any, ...]:
    if get_origin(option) is Literal:
        return get_args(option)
    if option is bool:
        return (True, False)
    return (None,) if option is types.NoneType else ()


def _describe_option(option: Any) -> str:
    values = _values(option)
    if values:
        return ", ".join(map(repr, values))
    if get_origin(option) in (tuple, list):
        return f"lists of {describe(get_args(option)[0])}"
    bounds: list[Any] = []
    kind = option
    if get_origin(option) is Annotated:
        kind, *bounds = get_args(option)
    words = {int: "whole numbers", float: "numbers", str: "texts"}.get(kind, str(kind))
    return " ".join([words, *(_describe_bound(bound) for bound in bounds)])


def _describe_bound(bound: Any) -> str:
    match bound:
        case Ge(least):
            return f"from {least}"
        case Gt(limit):
            return f"above {limit}"
        case Le(most):
            return f"to {most}"
        case Lt(limit):
            return f"to below {limit}"
        case MultipleOf(factor):
            return f"that are multiples of {factor}"
    return str(bound)


@cache
def _adapter(annotation: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    return TypeAdapter(annotation, config=config)


def _accepts(annotation: Any, value: Any) -> bool:
    from pydantic import ValidationError

    if annotation is Any:
        return True
    if isinstance(value, list) and any(get_origin(o) is tuple for o in _options(annotation)):
        value = tuple(value)  # YAML has lists only.
    try:
        _adapter(annotation).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _is_exponent(annotation: Any, value: Any) -> bool:
    """Return whether a number was written as 1e-3, which YAML reads as text."""
    kinds = {_plain(option) for option in _options(annotation)} - {types.NoneType}
    if not isinstance(value, str) or kinds != {float}:
        return False
    return re.fullmatch(r"[+-]?[0-9.]+[eE][+-]?[0-9]+", value) is not None


def _plain(option: Any) -> Any:
    return get_args(option)[0] if get_origin(option) is Annotated else option


def _nearest(annotation: Any, value: Any) -> str:
    """`; did you mean 'x'?` for a text that resembles a valid one."""
    if not isinstance(value, str):
        return ""
    values = [text for option in _options(annotation) for text in _values(option)]
    texts = [text for text in values if isinstance(text, str)]
    close = difflib.get_close_matches(value, texts, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
