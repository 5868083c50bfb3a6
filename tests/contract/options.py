"""Every value of every option of a component, read from the registry."""

from __future__ import annotations

import importlib
import inspect
import itertools
from typing import Any

from fsar_core.metrics._distances import SHOTS

from fsar_core.components.registry import Entry, entry

# Values that a module checks itself and does not declare in CHOICES.
UNDECLARED = {"shots": SHOTS, "similarity": ("cosine", "euclidean"), "local": ("bimhm", "otam", None)}


def choices(kind: str, name: str) -> dict[str, tuple]:
    """The values of every option: those in CHOICES, both truth values, and None beside a default number."""
    component = entry(kind, name)
    cls = getattr(importlib.import_module(component.module), component.class_name)
    annotations = inspect.signature(cls).parameters
    values = {}
    for parameter, default in component.parameters.items():
        declared = component.constants.get("CHOICES", {}).get(parameter) or UNDECLARED.get(parameter)
        if declared is not None:
            values[parameter] = declared
        elif isinstance(default, bool):
            values[parameter] = (True, False)
        elif isinstance(default, int) and "None" in str(annotations[parameter].annotation):
            values[parameter] = (default, None)
        elif isinstance(default, str) and default not in (Entry.REQUIRED, Entry.OPAQUE):
            raise AssertionError(f"{kind} '{name}': declare the values of {parameter} in CHOICES")
    return values


def combinations(kind: str, name: str) -> list[dict[str, Any]]:
    """Every combination of these values; optional numbers change one at a time, with the defaults of all other options."""
    options = choices(kind, name)
    numbers = {option for option, values in options.items() if isinstance(values[0], int) and values[1] is None}
    numbers -= set(entry(kind, name).constants.get("CHOICES", {}))
    free = {option: values for option, values in options.items() if option not in numbers}
    combined = [dict(zip(free, values)) for values in itertools.product(*free.values())]
    return combined + [{option: None} for option in sorted(numbers)]


def single_changes(kind: str, name: str) -> list[dict[str, Any]]:
    """The defaults, and every other value of one option at a time."""
    defaults = entry(kind, name).parameters
    changes = [{o: value} for o, values in choices(kind, name).items() for value in values if value != defaults[o]]
    return [{}, *changes]
