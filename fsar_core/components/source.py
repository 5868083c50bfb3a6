"""Read a component's class from its source text, so that listing and checking never import torch.

A class is described by its constructor's parameters and by the literal attributes of its body. Both
are inherited: base classes are followed through imports within this package.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import annotated_types

from fsar_core.components import parameters as parameter_types
from fsar_core.components.parameters import COMPUTED, REQUIRED, Parameter
from fsar_core.errors import FsarError

PACKAGE = Path(__file__).parents[1]
_BUILTINS = {kind.__name__: kind for kind in (bool, int, float, str, list, dict, tuple)}
# Names that a constraint may be written with; an annotation with any other name is not checked.
_NAMESPACE: Mapping[str, Any] = {
    **_BUILTINS,
    **{name: getattr(typing, name) for name in ("Annotated", "Any", "Literal")},
    **{name: getattr(annotated_types, name) for name in ("Ge", "Gt", "Le", "Lt", "MultipleOf")},
    **{
        name: value
        for name, value in vars(parameter_types).items()
        if typing.get_origin(value) in (typing.Annotated, typing.Literal)
    },
}


@dataclass(frozen=True)
class ClassSource:
    """A class as its source text describes it.

    Attributes:
        name: of the class.
        bases: names of its base classes within this package, nearest first.
        parameters: of the constructor, in order, by name.
        attributes: literal attributes of the class and its base classes, by name.
    """

    name: str
    bases: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    attributes: Mapping[str, Any]


@cache
def read_module(path: Path) -> ast.Module:
    """Parse a source file, once."""
    return ast.parse(path.read_text(encoding="utf-8"))


def read_class(path: Path, name: str) -> ClassSource:
    """Describe the class `name` of a source file.

    Raises:
        KeyError: the file defines no such class.
        FsarError: the class computes an attribute that a base class declares.
    """
    lineage = list(_lineage(path, name))
    attributes: dict[str, Any] = {}
    for node in reversed(lineage):
        for attribute, value in _class_attributes(node):
            if value != COMPUTED:
                attributes[attribute] = value
            elif attribute in attributes:
                raise FsarError(
                    f"{path}: the attribute '{attribute}' of {node.name} is computed; "
                    f"write its value out, because it is read without importing the module"
                )
    constructors = [constructor for constructor in map(_constructor, lineage) if constructor]
    parameters = _parameters(constructors[0]) if constructors else {}
    bases = tuple(node.name for node in lineage[1:])
    return ClassSource(name, bases, parameters, attributes)


def _lineage(path: Path, name: str) -> Iterator[ast.ClassDef]:
    """Yield a class and its base classes within this package, nearest first."""
    module = read_module(path)
    node = next((n for n in module.body if isinstance(n, ast.ClassDef) and n.name == name), None)
    if node is None:
        raise KeyError(name)
    yield node
    imported = dict(_imported_classes(module))
    local = {n.name for n in module.body if isinstance(n, ast.ClassDef)}
    for base in node.bases:
        if not isinstance(base, ast.Name):
            continue
        if base.id in local:
            yield from _lineage(path, base.id)
        elif base.id in imported:
            yield from _lineage(imported[base.id], base.id)


def _imported_classes(module: ast.Module) -> Iterator[tuple[str, Path]]:
    """Yield (name, file) of everything imported from a module of this package."""
    for node in module.body:
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("fsar_core."):
            continue
        file = module_file(node.module)
        if file is not None:
            yield from ((alias.asname or alias.name, file) for alias in node.names)


def module_file(module: str) -> Path | None:
    """Return the source file of a module of this package, or None."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _class_attributes(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of what a class body assigns; the value is `COMPUTED` if no literal."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        else:
            continue
        if isinstance(target, ast.Name):
            yield target.id, _literal(value)


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    functions = (item for item in node.body if isinstance(item, ast.FunctionDef))
    return next((function for function in functions if function.name == "__init__"), None)


def _parameters(constructor: ast.FunctionDef) -> dict[str, Parameter]:
    arguments = constructor.args
    positional = [*arguments.posonlyargs, *arguments.args][1:]
    without_default = len(positional) - len(arguments.defaults)
    defaults: list[ast.expr | None] = [None] * without_default + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True))
    pairs += list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    return {argument.arg: _parameter(argument, default) for argument, default in pairs}


def _parameter(argument: ast.arg, default: ast.expr | None) -> Parameter:
    value = REQUIRED if default is None else _literal(default)
    return Parameter(argument.arg, value, _annotation(argument.annotation))


def constraint_of(annotation: Any) -> Any:
    """Evaluate an annotation of a constructor, a text where annotations are postponed.

    Returns:
        The annotation, or `Any` where it is written with names that state no constraint.
    """
    if not isinstance(annotation, str):
        return annotation
    return _annotation(ast.parse(annotation, mode="eval").body)


def _annotation(node: ast.expr | None) -> Any:
    """Evaluate an annotation that is written with known names only; `Any` for others."""
    if node is None:
        return Any
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    if not names <= _NAMESPACE.keys() or any(isinstance(p, ast.Attribute) for p in ast.walk(node)):
        return Any
    code = compile(ast.Expression(node), "<signature>", "eval")
    return eval(code, {"__builtins__": {}}, dict(_NAMESPACE))


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return COMPUTED
