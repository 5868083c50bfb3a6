"""Weights files of backbones: which file a backbone loads, which training it comes from, and whether a job got the right one.

Imports torch only where weights are written or a published name has to be resolved.
"""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fsar_core import registry
from fsar_core.errors import FsarError
from fsar_core.inputs import remake
from fsar_core.provenance import atomic_write, canonical_json, file_sha256
from fsar_core.specs import BackboneSpec
from fsar_core.stores.inputs import file_digest

if TYPE_CHECKING:
    import torch

# A member of the zip file beside torch's own, which torch does not read.
MEMBER = "archive/fsar.json"


def save(path: Path, state: Mapping[str, torch.Tensor], training: str, inputs: Mapping[str, str]) -> None:
    """Write trained weights atomically: a plain state dict, with a record of where it comes from.

    Args:
        training: digest of the `BackboneTrainingSpec`.
        inputs: what the training was given, as in `fsar_core.inputs`.
    """
    import torch

    record = canonical_json({"training": training, "inputs": dict(inputs)})
    file = io.BytesIO()
    torch.save(dict(state), file)
    with zipfile.ZipFile(file, "a") as archive:
        # ZipInfo has a fixed date: equal weights give equal files.
        archive.writestr(zipfile.ZipInfo(MEMBER), record)
    with atomic_write(path, "wb") as stream:
        stream.write(file.getbuffer())


def training_of(path: Path) -> str | None:
    """Digest of the training that a file records; None for a file without a record.

    Files that other programs wrote, or fsar before it kept a record, have none. So has a damaged
    file here: whoever reads its weights reports the damage.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read(MEMBER))["training"])
    except Exception:  # BadZipFile, KeyError, ValueError, zlib.error ...: whatever another file gives
        return None


def checked_sha256(weights: str | Path | None, spec: BackboneSpec) -> str | None:
    """SHA-256 of the weights file that a job is given, once it is known to be the one of its spec.

    None where there is no file: published weights are named, and checked by their backbone.

    Raises:
        FsarError: the file comes from another training, or has another SHA-256, than the spec says.
    """
    if weights is None or not Path(weights).is_file():
        return None
    path, sha256 = Path(weights), file_sha256(Path(weights))
    source, _, expected = spec.weights.partition(":")
    training = training_of(path)
    if source == "trained" and training not in (None, expected):
        raise FsarError(
            f"{path}: weights of the training {training}, expected those of {expected}; "
            f"{remake('train_backbone', path)}"
        )
    if source == "sha256" and sha256 != expected:
        raise FsarError(
            f"{path}: its SHA-256 is {sha256}, expected {expected}; the file was replaced after the "
            f"run was planned: restore it, or run snakemake again to use the new one"
        )
    return sha256


def weights_sha256(backbone: str, weights: str | Path, root: str | Path | None) -> str:
    """SHA-256 of the weights file that a backbone loads.

    Args:
        weights: a file, or a published name that the backbone knows; it is downloaded to `root` first where it is missing.
    Raises:
        FsarError: no such file, a failed download.
    """
    entry = registry.entry("backbones", backbone)
    path = Path(weights)
    if str(weights) in entry.constants.get("WEIGHTS", ()):
        path = getattr(importlib.import_module(entry.module), entry.class_name).published_file(str(weights), root)
    return file_digest(path)
