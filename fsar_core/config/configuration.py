"""Models of config.yaml as a whole and of the roots of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    InstanceOf,
    PlainSerializer,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from fsar_core.config.base import Model
from fsar_core.config.overlays import extended
from fsar_core.config.paths import CONTROL
from fsar_core.config.preset import Preset
from fsar_core.config.training import check_training_keys
from fsar_core.config.validation import load, validate
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.specs import TrainingSpec
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place
from fsar_core.storage.places import place as place_of


def _place(value: Any, known: Callable[[Any], Path]) -> Place:
    """Make a path of a folder, and an `ObjectPath` of an address."""
    try:
        return place_of(value) if isinstance(value, str) else known(value)
    except FsarError as error:
        raise ValueError(str(error)) from None


class Roots(Model):
    """Folders, relative to where snakemake is started, or absolute."""

    data: Path  # videos, `<data>/<folder of the card>/...`
    # clip indices and stores of frames, features, masks and actionness (large); also
    # s3://bucket/prefix, see README.md
    stores: Annotated[
        Path | InstanceOf[ObjectPath],
        WrapValidator(_place),
        PlainSerializer(str, when_used="json"),
        WithJsonSchema({"format": "path", "type": "string"}),
    ]
    weights: Path  # backbone weights, trained by the pipeline or put there by you
    results: Path  # episodes, models, runs, tables, figures, logs

    @field_validator("data", "stores", "weights", "results")
    @classmethod
    def _no_pattern(cls, value: Place) -> Place:
        if set(str(value)) & set("{}") or CONTROL.search(str(value)):
            raise ValueError(
                "holds braces (which snakemake takes for wildcards) or control characters; choose another folder"
            )
        return value


class Config(Model):
    """config.yaml"""

    preset: str  # which of `presets` is used
    # the paper whose Table n is results/tables/table<n>.csv
    paper: str = Field(pattern="^[A-Za-z0-9_]+$")
    # all random draws derive from it
    seed: int = Field(ge=-1_000_000_000_000, le=1_000_000_000_000)
    roots: Roots  # folders
    # paper data set -> the card (a folder of workflow/datasets) that stands behind it
    datasets: dict[str, str]
    presets: dict[str, Preset]  # by name

    @model_validator(mode="after")
    def _preset_exists(self) -> Config:
        if self.preset not in self.presets:
            raise ValueError(
                f"preset '{self.preset}' is not among presets{did_you_mean(self.preset, self.presets)}"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _lay_presets_over_those_they_extend(cls, value: Any) -> Any:
        presets = value.get("presets") if isinstance(value, Mapping) else None
        if not isinstance(presets, Mapping):
            return value
        return {**value, "presets": {name: extended(presets, name) for name in presets}}

    @model_validator(mode="after")
    def _setups_train(self) -> Config:
        for preset in self.presets.values():
            different = {
                f"setups.{name}.training": setup.training for name, setup in preset.setups.items()
            }
            different |= {
                f"head_training.{name}": changes for name, changes in preset.head_training.items()
            }
            for place, changes in different.items():
                check_training_keys(place, changes)
                TrainingSpec.model_validate(preset.training.model_dump() | changes)
        return self

    @property
    def active(self) -> Preset:
        return self.presets[self.preset]


def load_config(raw: Mapping | Path, where: str = "config.yaml") -> Config:
    """Read and check the configuration, from Snakemake's dictionary or from a file."""
    if isinstance(raw, Path):
        return load(Config, raw)
    return validate(Config, dict(raw), where)
