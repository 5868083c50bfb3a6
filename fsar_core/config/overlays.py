"""Laying one configuration over another: files in their order, presets over those they extend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsar_core.config.reading import read_yaml
from fsar_core.errors import FsarError, did_you_mean


def overlay(base: Mapping, top: Mapping) -> dict:
    """Lay `top` over `base`, key by key, as Snakemake lays one configuration over another.

    Example:
        >>> overlay({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
        {'a': {'b': 1, 'c': 3}}
    """
    nested = {
        key: overlay(base[key], value)
        for key, value in top.items()
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
    }
    return {**base, **top, **nested}


def read_merged(paths: Sequence[Path]) -> dict:
    """Read configuration files and lay later ones over earlier ones, as Snakemake does."""
    merged: dict = {}
    for path in paths:
        values = read_yaml(path)
        if not isinstance(values, dict):
            raise FsarError(f"{path}: expected keys and values, as in config.yaml")
        merged = overlay(merged, values)
    return merged


def extended(presets: Mapping, name: str, extending: tuple[str, ...] = ()) -> Any:
    """Return a preset as plain data, laid over the one that its `extends` names.

    Args:
        presets: all presets as plain data.
        name: the preset.
        extending: presets that extend this one, to find circles.

    Raises:
        ValueError: for a preset that does not exist, or that extends itself.
    """
    preset = presets[name]
    if not isinstance(preset, Mapping) or "extends" not in preset:
        return preset
    base = preset["extends"]
    if base not in presets:
        raise ValueError(
            f"presets.{name} extends '{base}': no such preset{did_you_mean(str(base), presets)}"
        )
    if base in (name, *extending):
        raise ValueError(f"presets.{name} extends '{base}': a circle")
    own = {key: value for key, value in preset.items() if key != "extends"}
    return overlay(extended(presets, base, (name, *extending)), own)
