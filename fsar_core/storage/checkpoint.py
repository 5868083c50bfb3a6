"""Checkpoints: written whole or not at all, read as tensors and plain values only, every byte checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fsar_core.errors import FsarError, first_line, mend
from fsar_core.storage.provenance import atomic_write, check_format, zip_damage

FORMAT = 1  # raised by hand when what a checkpoint holds changes


def save(path: Path, value: dict[str, Any]) -> None:
    """Write a dictionary of tensors and plain values atomically."""
    with atomic_write(path, "wb") as stream:
        torch.save({"format": FORMAT, **value}, stream)


def load(path: Path, run: str | None = None) -> dict[str, Any]:
    """Read a checkpoint (of the run with the digest `run`); FsarError for another run's, a damaged or a foreign file."""
    try:
        if bad := zip_damage(path):  # torch itself reads tensors without a look at their checksums
            raise ValueError(f"'{bad}' is not as its checksum says")
        value = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FsarError(f"{path}: no such checkpoint; run snakemake to train this run") from None
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError, zipfile errors ...
        reason = first_line(error, 120)
        raise FsarError(f"{path}: damaged or foreign checkpoint ({reason}); {mend(path)}") from None
    if isinstance(value, dict):
        check_format(value.get("format", 1), FORMAT, path)
    found = value.get("run") if isinstance(value, dict) else None
    if found is None or run not in (None, found):
        raise FsarError(
            f"{path}: checkpoint of run {found}, expected {run or 'one'}; remove it and run snakemake again"
        )
    return value


def content(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a state dict: names, types, shapes and values of its tensors, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
