"""Making models of plain data, and wording what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from fsar_core.config.base import Model
from fsar_core.config.reading import read_yaml
from fsar_core.errors import FsarError, did_you_mean

# Which of several errors is reported: an unknown key causes the missing key that it leaves behind,
# so it comes first. Of a value that may be a word or a number, the word is the least likely
# meaning.
ORDER = {"extra_forbidden": 0, "literal_error": 2}
OTHER_ERRORS = 1


def validate(model: type[Model], value: Any, where: str):
    """Make a `model` of plain data.

    Raises:
        FsarError: naming `where`, the key and the nearest valid key.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise FsarError(f"{where}: {_explain(model, value, error)}") from None


def load(model: type[Model], path: Path):
    """Read and validate one YAML file."""
    return validate(model, read_yaml(path), str(path))


def _explain(model: type[BaseModel], value: Any, error: ValidationError) -> str:
    """Word the error that a user most likely has to correct first."""
    first = min(error.errors(), key=lambda e: ORDER.get(e["type"], OTHER_ERRORS))
    path = [str(part) for part in _path_in(value, first["loc"])]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        valid = _keys(model, first["loc"][:-1])
        return f"unknown key '{key}'{did_you_mean(path[-1], valid)}"
    if first["type"] == "missing":
        return f"missing key '{key}'"
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = first.get("input")
    shown = f" (found {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{key}: {message}{shown}" if key else message


def _path_in(value: Any, location: tuple) -> list:
    """Turn a location of pydantic into a path of keys.

    Pydantic also names the alternatives of a union that it tried; they are left out.
    """
    path = []
    for part in location:
        if not isinstance(value, Mapping | list | tuple):
            break
        path.append(part)
        known = value.keys() if isinstance(value, Mapping) else range(len(value))
        value = value[part] if part in known else {}
    return path


def _keys(model: type[BaseModel], location: tuple) -> list[str]:
    """Return the valid keys at a location of a model."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[part].annotation
        else:  # dict[str, M] or list[M], where `part` is a user's key or a number
            current = get_args(current)[-1]
        if NoneType in get_args(current):  # M | None
            current = next(kind for kind in get_args(current) if kind is not NoneType)
    return list(current.model_fields)
