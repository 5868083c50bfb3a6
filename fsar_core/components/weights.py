"""Read and load weights: tensors only, every byte checked, every key accounted for."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fsar_core.errors import FsarError, first_line, mend
from fsar_core.storage.provenance import zip_damage


def read_state_dict(path: Path, inside: str | None = None) -> dict[str, Tensor]:
    """A state dict from a local file (torch.save or *.safetensors), tensors only.

    Args:
        inside: key of the state dict in a training checkpoint; a file without that key is the state dict itself.

    Raises:
        FsarError: anything else; no pickled code is run.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            if zipfile.is_zipfile(path) and (
                bad := zip_damage(path)
            ):  # files of before torch 1.6 are no zip files
                raise FsarError(
                    f"{path}: damaged ('{bad}' is not as its checksum says); {mend(path)} if the pipeline trained it, else get "
                    f"it anew"
                )
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FsarError(f"{path}: no such weights file") from None
    except FsarError:
        raise
    except (
        Exception
    ) as error:  # UnpicklingError, RuntimeError, EOFError, SafetensorError, zipfile errors ...
        reason = first_line(error, 120)
        raise FsarError(
            f"{path}: not a state dict that loads with weights_only=True ({reason}); expected a file written by "
            f"torch.save(model.state_dict()), or *.safetensors"
        ) from None
    if isinstance(state, dict) and inside in state:
        state = state[inside]
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise FsarError(f"{path}: expected a state dict of tensors, found {type(state).__name__}")
    return state


def load_strictly(module: nn.Module, state: dict[str, Tensor], path: Path | str) -> None:
    """load_state_dict(strict=True) with one line that names the first key or shape that differs.

    BatchNorm's `num_batches_tracked` may be missing: files of before PyTorch 0.4.1 have none, and only training reads it.
    """
    own = module.state_dict()
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}
    state = counters | state
    missing = [key for key in own if key not in state]
    unknown = [key for key in state if key not in own]
    shapes = [k for k in own if k in state and own[k].shape != state[k].shape]
    if missing or unknown or shapes:
        parts = [f"lacks '{missing[0]}' and {len(missing) - 1} more"] if missing else []
        parts += [f"has the unknown '{unknown[0]}' and {len(unknown) - 1} more"] if unknown else []
        parts += [
            f"'{key}' is {tuple(state[key].shape)}, expected {tuple(own[key].shape)}"
            for key in shapes[:1]
        ]
        raise FsarError(f"{path}: no weights of {type(module).__name__}: {'; '.join(parts)}")
    module.load_state_dict(state)
