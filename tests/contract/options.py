"""Every value of every option of a component, read from the constraints of its signature."""

from __future__ import annotations

import itertools
import types
from typing import Any, Union, get_args, get_origin

from fsar_core.components.parameters import Parameter
from fsar_core.components.registry import entry


def is_optional(parameter: Parameter) -> bool:
    """Return whether a parameter may be None."""
    union = get_origin(parameter.annotation) in (Union, types.UnionType)
    return union and types.NoneType in get_args(parameter.annotation)


def is_optional_number(parameter: Parameter) -> bool:
    """Return whether a parameter is a number by default and may be None."""
    return type(parameter.default) in (int, float) and is_optional(parameter)


def choices(kind: str, name: str) -> dict[str, tuple[Any, ...]]:
    """Return the values of every option: a few by its signature, or a default number and None."""
    parameters = entry(kind, name).parameters.values()
    limited = {parameter.name: parameter.choices for parameter in parameters if parameter.choices}
    numbers = {p.name: (p.default, None) for p in parameters if is_optional_number(p)}
    return limited | numbers


def combinations(kind: str, name: str) -> list[dict[str, Any]]:
    """Return every combination of these values.

    Optional numbers change one at a time, with the defaults of all other options.
    """
    parameters = entry(kind, name).parameters
    options = choices(kind, name)
    free = {option: values for option, values in options.items() if parameters[option].choices}
    combined = [dict(zip(free, values)) for values in itertools.product(*free.values())]
    return combined + [{option: None} for option in sorted(options.keys() - free)]


def single_changes(kind: str, name: str) -> list[dict[str, Any]]:
    """Return the defaults, and every other value of one option at a time."""
    parameters = entry(kind, name).parameters
    changes: list[dict[str, Any]] = [{}]
    for option, values in choices(kind, name).items():
        changes += [{option: value} for value in values if value != parameters[option].default]
    return changes
