"""Published weights by torchvision's name, or a local file: tensors only, the hash of a published file checked."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.models import WeightsEnum

from fsar_core.components.weights import read_state_dict
from fsar_core.errors import FsarError
from fsar_core.storage.provenance import file_sha256


def published_file(published: type[WeightsEnum], weights: str, root: str | Path | None) -> Path:
    """The file of a name in `published`, downloaded first where it is missing.

    Raises:
        FsarError: a failed download.
    """
    held = _held(published, weights, root)
    if not held.is_file():
        read_weights(published, weights, root)
    return held


def _held(published: type[WeightsEnum], weights: str, root: str | Path | None) -> Path:
    """Where torch.hub keeps a published file."""
    folder = Path(root) if root else Path(torch.hub.get_dir()) / "checkpoints"
    return folder / published[weights].url.split("/")[-1]


def read_weights(
    published: type[WeightsEnum], weights: str | Path, root: str | Path | None
) -> dict[str, torch.Tensor]:
    """The state dict behind `weights`: a name in `published` (looked for in `root`, else downloaded to it), or a file.

    Raises:
        FsarError: no such file, no state dict, a file of that name with another hash, a failed download.
    """
    if str(weights) not in published.__members__:
        return read_state_dict(Path(weights))
    url, held = published[str(weights)].url, _held(published, str(weights), root)
    if held.is_file() and not file_sha256(held).startswith(held.stem.split("-")[-1]):
        raise FsarError(
            f"{held}: not the published weights '{weights}' (its SHA-256 is not that of its name); remove it"
        )
    try:
        return torch.hub.load_state_dict_from_url(
            url,
            model_dir=root,
            check_hash=True,
            weights_only=True,
            progress=False,
            map_location="cpu",
        )
    except (OSError, RuntimeError) as error:
        raise FsarError(
            f"weights '{weights}' ({held.name}) cannot be downloaded ({error}); put that file into {root} or name a local "
            f"file as `weights:` of the preset's backbone"
        ) from None
