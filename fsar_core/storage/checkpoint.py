"""Checkpoints: written whole or not at all; only tensors and plain values are read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fsar_core.errors import FsarError, first_line, mend
from fsar_core.storage.provenance import atomic_write, check_format, zip_damage

FORMAT = 1  # raised by hand when what a checkpoint holds changes
REASON = 120  # characters of torch's reason at most


def save(path: Path, value: dict[str, Any]) -> None:
    """Write a dictionary of tensors and plain values atomically."""
    with atomic_write(path, "wb") as stream:
        torch.save({"format": FORMAT, **value}, stream)


def load(path: Path, run: str | None = None) -> dict[str, Any]:
    """Return the value of a checkpoint.

    Args:
        run: digest of the spec that it must be of; None for any.
    Raises:
        FsarError: the checkpoint is missing, damaged, of another run, or no checkpoint.
    """
    try:
        if bad := zip_damage(path):  # torch itself reads tensors without a look at their checksums
            raise ValueError(f"'{bad}' is not as its checksum says")
        value = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FsarError(f"{path}: no such checkpoint; run snakemake to train this run") from None
    except (
        Exception
    ) as error:  # torch raises UnpicklingError, RuntimeError, EOFError, zipfile errors ...
        reason = first_line(error, 120)
        raise FsarError(f"{path}: damaged or foreign checkpoint ({reason}); {mend(path)}") from None
    if isinstance(value, dict):
        check_format(value.get("format", 1), FORMAT, path)
    found = value.get("run") if isinstance(value, dict) else None
    if found is None or run not in (None, found):
        raise FsarError(
            f"{path}: checkpoint of run {found}, expected {run or 'one'}; remove it and run "
            f"snakemake again"
        )
    return value


def content(state: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values of a state dict's tensors."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
