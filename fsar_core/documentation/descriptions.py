"""What the comments beside a model's fields say of them.

A field's description is the comment at the end of its line, or else the lines of comment above it. They are read from the source
text, as the registry reads components: a description in a `Field(...)` would belong to the code whose digest decides what runs
again, a comment does not.
"""

from __future__ import annotations

import ast
import inspect
import io
import textwrap
import tokenize

from pydantic import BaseModel


def of_fields(model: type[BaseModel]) -> dict[str, str]:
    """Field -> description, an empty text where there is none; those that a base class declares are described there."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _in_source(base)
    return {name: found.get(name, "") for name in model.model_fields}


def of_model(model: type[BaseModel]) -> str:
    """The first paragraph of a model's own docstring, on one line."""
    return " ".join(inspect.cleandoc(model.__dict__.get("__doc__") or "").split("\n\n")[0].split())


def _in_source(model: type[BaseModel]) -> dict[str, str]:
    source = textwrap.dedent(inspect.getsource(model))
    lines = source.splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {
        t.start[0]: t.string.lstrip("#").strip() for t in tokens if t.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body[0].body:
        if isinstance(node, ast.AnnAssign):
            beside = [comments[n] for n in range(node.lineno, node.end_lineno + 1) if n in comments]
            found[node.target.id] = " ".join(beside or _above(node.lineno, lines, comments))
    return found


def _above(line: int, lines: list[str], comments: dict[int, str]) -> list[str]:
    """The lines of comment that end right above a line."""
    first = line
    while first - 1 in comments and lines[first - 2].lstrip().startswith("#"):
        first -= 1
    return [comments[number] for number in range(first, line)]
