"""Image towers of CLIP, by open_clip's pretrained tag or from a local file, with the names of our stages."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from torch import Tensor

from fsar_core.components.weights import read_state_dict
from fsar_core.errors import FsarError, first_line
from fsar_core.storage.provenance import file_sha256

# What stands beside `visual.` in a state dict of the whole of CLIP.
_REST = (
    "text.",
    "transformer.",
    "token_embedding.",
    "ln_final.",
    "positional_embedding",
    "text_projection",
    "logit_",
)
_COUNTS = ("input_resolution", "context_length", "vocab_size")


def read_visual_tower(
    architecture: str, weights: str | Path, root: str | Path | None, tags: tuple[str, ...]
) -> dict[str, Tensor]:
    """State dict of a Backbone made of `vit_stages`, from a tag in `tags` or a file.

    A file: torch.save (tensors only are read) or *.safetensors; the state dict itself or a training checkpoint that holds it as
    `state_dict`; keys with or without `module.` and `visual.`. Keys that are no image tower's stay as they are.

    Raises:
        FsarError: a failed download, a damaged or missing file, one that holds code.
    """
    path = (
        published_file(architecture, str(weights), root) if str(weights) in tags else Path(weights)
    )
    if path.is_file() and zipfile.is_zipfile(path) and _is_script(path):
        raise FsarError(
            f"{path}: a TorchScript archive (OpenAI's own form); it holds code, and no code of a file is run. Use the tag "
            f"'openai', or a state dict or safetensors file of these weights"
        )
    state = {
        key.removeprefix("module."): value
        for key, value in read_state_dict(path, inside="state_dict").items()
    }
    if any(key.startswith("visual.") for key in state):
        state = {
            key.removeprefix("visual."): value
            for key, value in state.items()
            if not key.startswith(_REST + _COUNTS)
        }
    return {_stage_key(key): value for key, value in state.items()}


def _stage_key(key: str) -> str:
    if block := re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", key):
        return f"stages.block{int(block[1]) + 1}.{block[2]}"
    if key == "proj" or key.startswith("ln_post."):
        return f"stages.pooled.{key}"
    if key.startswith(("conv1.", "ln_pre.")) or key in ("class_embedding", "positional_embedding"):
        return f"stages.tokens.{key}"
    return key


def _is_script(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def published_file(architecture: str, tag: str, root: str | Path | None) -> Path:
    """The file of a tag in huggingface_hub's cache below `root`; only where it is missing is the network asked.

    The cache names a file by the SHA-256 that the hub declares for it; where it does, the bytes are checked against it.
    """
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    source, folder = get_pretrained_cfg(architecture, tag), None if root is None else str(root)
    repository = source["hf_hub"].rstrip("/")
    held = [
        try_to_load_from_cache(repository, name, folder)
        for name in (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    ]
    held = [
        path for path in held if isinstance(path, str)
    ]  # neither None nor the mark of a file that does not exist
    try:
        path = Path(held[0] if held else download_pretrained(source, cache_dir=folder))
    except (
        Exception
    ) as error:  # open_clip wraps some errors of huggingface_hub and of its HTTP client, not all
        reason = first_line(error, 200)
        raise FsarError(
            f"weights '{tag}' cannot be downloaded ({reason}); fetch {HF_SAFE_WEIGHTS_NAME} of {repository} elsewhere, name "
            f"that file as `weights:` of the preset's backbone, and its `activation` in the backbone's parameters"
        ) from None
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name) and file_sha256(blob) != blob.name:
        raise FsarError(
            f"{blob}: not the published weights '{tag}' (its SHA-256 is not that of its name); remove it"
        )
    return path
