"""Find components by name and build them.

A component's name is its file's: `metrics/otam.py` defines the class `OTAM` (the name without
underscores, case ignored) and is built by `build("matching", "otam", lambda_=0.1)`. Nothing is
registered by hand. Names, parameters and attributes are read from the source text, so that listing
components and checking a configuration never imports torch.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fsar_core.components.parameters import REQUIRED, Parameter
from fsar_core.components.source import PACKAGE, read_class, read_module
from fsar_core.errors import FsarError, did_you_mean

# Kinds of components, by the names that configurations use, and the package of each.
KINDS = {
    "backbones": "backbones",
    "heads": "heads",
    "matching": "metrics",
    "instance_masks": "mask_providers",
}
# The base class of each kind, in `fsar_core.components`.
BASES = {
    "backbones": "Backbone",
    "heads": "Head",
    "matching": "Metric",
    "instance_masks": "MaskProvider",
}


@dataclass(frozen=True)
class Entry:
    """A component, as its source text describes it.

    Attributes:
        kind: one of `KINDS`.
        name: of the component, and of its file.
        module: to import it from.
        class_name: of its class in that module.
        summary: first line of the module's docstring.
        parameters: of the constructor, by name.
        attributes: of the class and its base classes, by name; for example `version`, `cuts`.
            Every attribute that the base class documents is there, with its default.
    """

    kind: str
    name: str
    module: str
    class_name: str
    summary: str
    parameters: Mapping[str, Parameter]
    attributes: Mapping[str, Any]

    @property
    def supplied(self) -> tuple[str, ...]:
        """Parameters that the pipeline sets itself; see `Component.supplied`."""
        return self.attributes["supplied"]

    def value(self, parameter: str, params: Mapping[str, Any]) -> Any:
        """Return the value of a parameter: the given one or its default."""
        return params.get(parameter, self.parameters[parameter].default)

    def needs(self, input_name: str, params: Mapping[str, Any]) -> bool:
        """Say whether a head with these parameters learns from an input besides features.

        Args:
            input_name: a key of `Head.inputs`.
        """
        inputs = self.attributes.get("inputs", {})
        if input_name not in inputs:
            return False
        return all(
            bool(value) if wanted is True else value in wanted
            for parameter, wanted in inputs[input_name].items()
            for value in [self.value(parameter, params)]
        )


def names(kind: str) -> list[str]:
    """Return the names of all components of a kind, sorted."""
    if kind not in KINDS:
        raise FsarError(f"unknown kind of component '{kind}'{did_you_mean(kind, KINDS)}")
    folder = PACKAGE / KINDS[kind]
    modules = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return sorted(name for name in modules | packages if not name.startswith("_"))


@cache
def entry(kind: str, name: str) -> Entry:
    """Describe a component without importing it.

    Raises:
        FsarError: there is no such component, its file defines no class named like it, or that
            class does not derive from the base class of its kind.

    Example:
        >>> entry("matching", "otam").parameters["lambda_"].default
        0.5
        >>> entry("heads", "i2st").attributes["global_tokens"]
        1
    """
    if name not in names(kind):
        raise FsarError(f"unknown name '{name}' in {kind}{did_you_mean(name, names(kind))}")
    folder = PACKAGE / KINDS[kind]
    path = folder / f"{name}.py"
    path = path if path.exists() else folder / name / "__init__.py"
    module = read_module(path)
    wanted = name.replace("_", "").lower()
    classes = [node.name for node in module.body if isinstance(node, ast.ClassDef)]
    class_name = next((name for name in classes if name.lower() == wanted), None)
    if class_name is None:
        raise FsarError(
            f"{path.name} in {kind} defines no class named like its file; "
            f"expected one spelled '{wanted}'"
        )
    source = read_class(path, class_name)
    if BASES[kind] not in source.bases:
        raise FsarError(
            f"{path.name} in {kind}: the class {class_name} does not derive from {BASES[kind]}; "
            f"import it from fsar_core.components"
        )
    return Entry(
        kind=kind,
        name=name,
        module=f"fsar_core.{KINDS[kind]}.{name}",
        class_name=class_name,
        summary=(ast.get_docstring(module) or "").split("\n")[0],
        parameters=source.parameters,
        attributes=source.attributes,
    )


def check(kind: str, name: str, params: Mapping[str, Any], supplied: Collection[str] = ()) -> Entry:
    """Check parameters against a component's signature, without importing it.

    Args:
        supplied: parameters that the caller adds later, for example `Entry.supplied`.
    Raises:
        FsarError: an unknown component or parameter, an invalid value, or a missing parameter.
    """
    component = entry(kind, name)
    owner = f"{kind} '{name}'"
    for parameter, value in params.items():
        if parameter not in component.parameters:
            hint = did_you_mean(parameter, component.parameters)
            raise FsarError(f"{owner} has no parameter '{parameter}'{hint}")
        component.parameters[parameter].check(owner, value)
    for parameter in component.parameters.values():
        given = parameter.name in params or parameter.name in supplied
        if parameter.default == REQUIRED and not given:
            raise FsarError(f"{owner} needs the parameter '{parameter.name}'")
    return component


def build(kind: str, name: str, **params: Any) -> Any:
    """Import and construct a component.

    Raises:
        FsarError: an unknown component or parameter, or an invalid value; names the nearest valid.

    Example:
        >>> build("matching", "otam", lambda_=0.1).lambda_
        0.1
    """
    component = check(kind, name, params)
    module = importlib.import_module(component.module)
    return getattr(module, component.class_name)(**params)


def accepted(kind: str, name: str, **offered: Any) -> dict[str, Any]:
    """Return those of the offered parameters that a component takes.

    Example:
        >>> accepted("matching", "trx", dim=2048, frames=8)
        {'dim': 2048, 'frames': 8}
        >>> accepted("matching", "otam", dim=2048, frames=8)
        {}
    """
    parameters = entry(kind, name).parameters
    return {name: value for name, value in offered.items() if name in parameters}


def having(kind: str, attribute: str) -> list[str]:
    """Return the components of a kind for which an attribute of their class is set, sorted.

    Example:
        >>> having("heads", "predicts_masks")
        ['i2st', 'ipm']
    """
    return [name for name in names(kind) if entry(kind, name).attributes[attribute]]


def modules(kind: str, name: str, params: Mapping[str, Any]) -> list[str]:
    """Return the modules that a component with these parameters is built from.

    These are its own and those of the components that its parameters name
    (`Component.subcomponents`), to any depth. Results depend on the code of all of them and of
    what they import, such as layers, which `storage.provenance.code_digest` follows.

    Example:
        >>> modules("matching", "global_local", {"local": "otam"})
        ['fsar_core.metrics.global_local', 'fsar_core.metrics.otam']
    """
    component = entry(kind, name)
    result = [component.module]
    for parameter, part_kind in component.attributes["subcomponents"].items():
        part = component.value(parameter, params)
        if part is not None:
            part_params = params.get(f"{parameter}_params") or {}
            result += modules(part_kind, part, part_params)
    return result
