"""Names to components: a component's name is its module's file name, and nothing is wired by hand.

`matching/otam.py` holds the class `OTAM` (the file name without underscores, case ignored) and is therefore
`build("matching", "otam", lambda_=0.1)`. Names and parameters are read from the source text, so that listing and
checking a configuration never imports torch; the module itself is imported when something is built.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fsar_core.errors import FsarError, did_you_mean

PACKAGE = Path(__file__).parent
KINDS = ("backbones", "heads", "matching", "instance_masks")
# Parameters of heads and metrics that a run fills in itself: `tail` is for the heads that declare `WRAPS_TAIL = True`, `classes`
# is the number of training classes.
SUPPLIED = ("dim", "frames", "tail", "classes")
# Likewise of mask providers, by the jobs that build them: no preset may set them.
GIVEN = ("folder", "source", "frames", "weights", "prompts", "device", "batch_frames")


@dataclass(frozen=True)
class Entry:
    """One component, as its source text describes it.

    Attributes:
        parameters: name -> literal default; `Entry.REQUIRED` where there is none, `Entry.OPAQUE` where it is no literal.
        constants: literal UPPER_CASE assignments of the module (`VERSION`, `CUTS`, ...).
    """

    REQUIRED = "<required>"
    OPAQUE = "<computed>"

    kind: str
    name: str
    module: str
    class_name: str
    summary: str
    parameters: dict[str, Any]
    constants: dict[str, Any]


def names(kind: str) -> list[str]:
    """All components of a kind, sorted."""
    if kind not in KINDS:
        raise FsarError(f"unknown kind of component '{kind}'{did_you_mean(kind, KINDS)}")
    found = {path.stem for path in (PACKAGE / kind).glob("*.py")}
    found |= {path.parent.name for path in (PACKAGE / kind).glob("*/__init__.py")}
    return sorted(name for name in found if not name.startswith("_"))


@cache
def entry(kind: str, name: str) -> Entry:
    """What the source says of one component. FsarError for an unknown name."""
    if name not in names(kind):
        raise FsarError(f"unknown name '{name}' in {kind}{did_you_mean(name, names(kind))}")
    path = PACKAGE / kind / f"{name}.py"
    path = path if path.exists() else PACKAGE / kind / name / "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wanted = name.replace("_", "").lower()
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.lower() == wanted]
    if not classes:
        raise FsarError(f"{path.name} in {kind} defines no class named like its file; expected one spelled '{wanted}'")
    return Entry(
        kind=kind,
        name=name,
        module=f"fsar_core.{kind}.{name}",
        class_name=classes[0].name,
        summary=(ast.get_docstring(tree) or "").split("\n")[0],
        parameters=_parameters(classes[0]),
        constants={
            node.targets[0].id: _literal(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()
        },
    )


def check(kind: str, name: str, params: dict[str, Any], supplied: tuple[str, ...] = ()) -> Entry:
    """Bind `params` to a component's signature without importing it.

    Args:
        supplied: parameters that the caller fills in later (a head's `dim` comes from the feature store).
    """
    found = entry(kind, name)
    for param, value in params.items():
        if param not in found.parameters:
            raise FsarError(f"{kind} '{name}' has no parameter '{param}'{did_you_mean(param, found.parameters)}")
        if isinstance(value, str) and isinstance(found.parameters[param], int | float):
            raise FsarError(
                f"{kind} '{name}': {param} is the text '{value}', expected a value like {found.parameters[param]}; "
                f"YAML takes 1e-3 for text, write 1.0e-3"
            )
        choices = found.constants.get("CHOICES", {}).get(param)
        if choices is not None and value not in choices:
            valid = ", ".join(map(repr, choices))
            raise FsarError(f"{kind} '{name}': {param}={value!r} is not valid; valid: {valid}")
        if param in found.constants.get("RANGES", {}):
            _check_range(found, param, value)
    missing = [p for p, d in found.parameters.items() if d == Entry.REQUIRED and p not in params and p not in supplied]
    if missing:
        raise FsarError(f"{kind} '{name}' needs the parameter '{missing[0]}'")
    return found


def _check_range(found: Entry, param: str, value: Any) -> None:
    """FsarError unless a number lies between the bounds that the component's RANGES give it. Whole bounds are of a whole number;
    None is valid where it is the default."""
    least, most = found.constants["RANGES"][param]
    optional, whole = found.parameters[param] is None, isinstance(least, int)
    right = (
        isinstance(value, int | (int if whole else float)) and not isinstance(value, bool) and least <= value <= most
    )
    if not right and not (optional and value is None):
        expected = f"a {'whole ' if whole else ''}number from {least} to {most}" + (" or null" if optional else "")
        raise FsarError(f"{found.kind} '{found.name}': {param}={value!r} is not valid; expected {expected}")


def build(kind: str, name: str, **params: Any):
    """Import and construct a component. FsarError for unknown names and parameters, naming the nearest valid one."""
    found = check(kind, name, params)
    return getattr(importlib.import_module(found.module), found.class_name)(**params)


def accepted(kind: str, name: str, **offered: Any) -> dict[str, Any]:
    """Of the offered parameters, those that the component takes (a metric without `dim` is not given one)."""
    return {key: value for key, value in offered.items() if key in entry(kind, name).parameters}


def _parameters(node: ast.ClassDef) -> dict[str, Any]:
    init = next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)
    if init is None:
        return {}
    args = [*init.args.posonlyargs, *init.args.args][1:]
    defaults: list[Any] = [Entry.REQUIRED] * (len(args) - len(init.args.defaults))
    defaults += [_literal(d) for d in init.args.defaults]
    pairs = dict(zip((a.arg for a in args), defaults))
    for arg, default in zip(init.args.kwonlyargs, init.args.kw_defaults):
        pairs[arg.arg] = Entry.REQUIRED if default is None else _literal(default)
    return pairs


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return Entry.OPAQUE
