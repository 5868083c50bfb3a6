"""Keys of a training that setups, heads and cards may change."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import TypeAdapter, ValidationError

from fsar_core.errors import did_you_mean
from fsar_core.specs import TrainingSpec

# The two readings of a published training: what the text says, and what the released code does.
Hyperparameters = Literal["as_written", "as_executed"]


def check_training_keys(where: str, changes: Mapping[str, Any]) -> None:
    """Check that every key is one of a training, with a value that it may have.

    Raises:
        ValueError: naming `where` and the nearest valid key.
    """
    valid = TrainingSpec.model_fields
    for key, value in changes.items():
        if key not in valid:
            raise ValueError(f"{where} has the unknown key '{key}'{did_you_mean(key, valid)}")
        try:
            _adapter(key).validate_python(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            message = message[:1].lower() + message[1:]
            raise ValueError(f"{where}.{key}: {message} (found {value!r})") from None


@functools.cache
def _adapter(key: str) -> TypeAdapter:
    """Return what validates a single field of a training."""
    field = TrainingSpec.model_fields[key]
    return TypeAdapter(Annotated[field.annotation, field])
