"""The base of all models that are read from YAML, and the names of the splits."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

SPLITS = ("train", "val", "test")


class Model(BaseModel):
    """Base of everything that is read from YAML: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
