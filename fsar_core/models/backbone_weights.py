"""Weights files of backbones: which file a backbone loads, and whether a job got the right one.

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

from fsar_core.components import registry
from fsar_core.errors import FsarError
from fsar_core.specs import BackboneSpec
from fsar_core.storage.bindings import remake
from fsar_core.storage.provenance import atomic_write, canonical_json
from fsar_core.stores.inputs import file_digest

if TYPE_CHECKING:
    import torch

# A member of the zip file beside torch's own, which torch does not read.
MEMBER = "archive/fsar.json"


def save(path: Path, state: Mapping[str, torch.Tensor], training: str) -> None:
    """Write trained weights atomically: a plain state dict, with a record of where it comes from.

    Equal weights of one training are equal files, whatever clips it did not use: features made
    from them need not be made again.

    Args:
        training: digest of the `BackboneTrainingSpec`.
    """
    import torch

    record = canonical_json({"training": training})
    file = io.BytesIO()
    torch.save(dict(state), file)
    with zipfile.ZipFile(file, "a") as archive:
        # ZipInfo has a fixed date: equal weights give equal files.
        archive.writestr(zipfile.ZipInfo(MEMBER), record)
    with atomic_write(path, "wb") as stream:
        stream.write(file.getbuffer())


def training_of(path: Path) -> str | None:
    """Return the digest of the training that a file records; None for a file without a record.

    Files that other programs wrote, or fsar before it kept a record, have none. So has a damaged
    file here: whoever reads its weights reports the damage.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read(MEMBER))["training"])
    except (
        Exception
    ):  # BadZipFile, KeyError, ValueError, zlib.error ...: whatever another file gives
        return None


def checked_sha256(
    weights: str | Path | None, spec: BackboneSpec, root: str | Path | None = None
) -> str | None:
    """Return the SHA-256 of the weights that a job is given, after checking them against its spec.

    Args:
        weights: a file, or a published name that the backbone knows; it is downloaded to `root`
            first if it is missing. None for random weights, which have no file.
    Raises:
        FsarError: the file comes from another training, or has another SHA-256, than the spec says;
            there is no such file; a download failed.
    """
    if weights is None:
        return None
    path = weights_file(spec.name, weights, root)
    sha256 = file_digest(path)
    source, _, expected = spec.weights.partition(":")
    training = training_of(path)
    if source == "trained" and training not in (None, expected):
        raise FsarError(
            f"{path}: weights of the training {training}, expected those of {expected}; "
            f"{remake('train_backbone', path)}"
        )
    if source == "sha256" and sha256 != expected:
        raise FsarError(
            f"{path}: its SHA-256 is {sha256}, expected {expected}; the file was replaced after "
            f"the run was planned: restore it, or run snakemake again to use the new one"
        )
    return sha256


def weights_file(backbone: str, weights: str | Path, root: str | Path | None) -> Path:
    """Return the file that a backbone loads.

    Args:
        weights: a file, or a published name that the backbone knows; it is downloaded to `root`
            first if it is missing.
    Raises:
        FsarError: a failed download.
    """
    entry = registry.entry("backbones", backbone)
    if str(weights) not in entry.attributes["published_weights"]:
        return Path(weights)
    component = getattr(importlib.import_module(entry.module), entry.class_name)
    return component.published_file(str(weights), root)
