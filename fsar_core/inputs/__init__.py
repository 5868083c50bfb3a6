"""Inputs: what a head can ask for besides features, one module each.

A module `inputs/name.py` defines the class `Name`, derived from `fsar_core.inputs.base.Input`, and
is known by being there. A head asks for it in `Head.inputs`. From the two declarations follow the
artifact that is made, the parameters that the head is given, the options and inputs of the training
job, what its loader reads, and what the training is bound to.

Torch-free: an input imports torch only where it reads tensors.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fsar_core.components import registry
from fsar_core.errors import FsarError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from fsar_core.inputs.base import Input, Source
    from fsar_core.specs import Component, ModelSpec, RunSpec
    from fsar_core.storage.places import Place

# Modules of this package that define no input.
SHARED = {"__init__", "base", "bank"}


@cache
def names() -> tuple[str, ...]:
    """Return the names of all inputs, sorted."""
    modules = {path.stem for path in Path(__file__).parent.glob("*.py")}
    return tuple(sorted(modules - SHARED))


@cache
def get(name: str) -> Input:
    """Return an input by its name.

    Raises:
        FsarError: there is no such input, or its module defines no class named like it.

    Example:
        >>> get("instance_masks").key
        'masks'
    """
    if name not in names():
        raise FsarError(f"unknown input '{name}'{did_you_mean(name, names())}")
    module = importlib.import_module(f"fsar_core.inputs.{name}")
    wanted = name.replace("_", "")
    classes = [value for key, value in vars(module).items() if key.lower() == wanted]
    if not classes:
        raise FsarError(
            f"inputs/{name}.py: defines no class named like its file; expected '{wanted}', "
            f"in any case"
        )
    return classes[0]()


def wanted(head: Component) -> list[Input]:
    """Return the inputs that a head with these parameters asks for, in the order it names them.

    Example:
        >>> from fsar_core.specs import Component
        >>> [each.name for each in wanted(Component(name="ipm"))]
        ['instance_masks']
        >>> wanted(Component(name="ipm", params={"mask_weight": 0}))
        []
    """
    entry = registry.entry("heads", head.name)
    asked = entry.attributes["inputs"]
    return [get(name) for name in asked if entry.needs(name, head.params)]


def with_options() -> list[Input]:
    """Return the inputs whose artifact `fsar train` has an option of its own for."""
    return [get(name) for name in names() if get(name).has_option]


def of_model(model: ModelSpec) -> list[Input]:
    """Return the inputs that a model is trained with.

    They are those whose artifact its spec records, and those of its head that need no artifact.
    """
    recorded = [get(name) for name in names() if get(name).spec_of(model) is not None]
    return recorded + [each for each in wanted(model.head) if not each.has_artifact]


def of_test(run: RunSpec) -> list[Input]:
    """Return the inputs that a run is tested with, as in `of_model`."""
    recorded = [get(name) for name in names() if get(name).test_spec_of(run) is not None]
    others = [each for each in wanted(run.head) if not each.has_artifact]
    return recorded + [each for each in others if each.at_test]


def open_for_training(
    model: ModelSpec, paths: Mapping[str, Place], index: pd.DataFrame
) -> list[Source]:
    """Open the inputs that a model is trained with.

    Args:
        paths: of their artifacts, by the key of the input.
        index: the clip index.
    Raises:
        FsarError: a path is not given; an artifact is missing, damaged or of another spec.
    """
    sources = []
    for each in of_model(model):
        source = each.open(_path(each, paths), each.spec_of(model), model, index)
        source.at_test = each.at_test
        sources.append(source)
    return sources


def open_for_test(run: RunSpec, paths: Mapping[str, Place]) -> list[Source]:
    """Open the inputs that a run is tested with; arguments as in `open_for_training`."""
    sources = []
    for each in of_test(run):
        source = each.open(_path(each, paths), each.test_spec_of(run), run)
        source.at_test = each.at_test
        sources.append(source)
    return sources


def _path(wanted: Input, paths: Mapping[str, Place]) -> Place | None:
    """Return the path of an input's artifact; None for an input without one."""
    if not wanted.has_artifact:
        return None
    path = paths.get(wanted.key)
    if path is None:
        option = f"--{wanted.key} PATH" if wanted.has_option else f"--input {wanted.key}=PATH"
        raise FsarError(f"the spec names the input '{wanted.key}'; add `{option}`")
    return path
