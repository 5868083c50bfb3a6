"""What all backbones share: named stages in order, a cut between two of them, and the tail behind the cut.

The first cut of every backbone is `frames`: nothing is frozen, and the tail is the whole network with its normalisation.
"""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

from fsar_core.errors import FsarError, did_you_mean, mend
from fsar_core.provenance import zip_damage


class Normalise(nn.Module):
    """uint8 images in 0..255 to a network's input range: images / 255 minus `mean`, over `std`, a colour channel each."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: UInt8[Tensor, "images 3 height width"]) -> Float[Tensor, "images 3 height width"]:
        return (images.to(self.mean.dtype) / 255 - self.mean) / self.std


class StagedBackbone(nn.Module):
    """A backbone as an ordered dictionary of stages; the name of a stage is the cut after it.

    `to_cut` is what is run once and cached; `tail` is what remains to be run with the head.

    BatchNorm: what lies before a cut is frozen and runs in evaluation mode, by its running statistics. Behind it
    `training.model.EpisodeModel` decides: a frozen tail stays in evaluation mode as well, so that any cut gives the same
    logits; a trained one (`train_tail`) normalises by the statistics of each batch and updates the running ones, which the
    evaluation then uses.
    """

    def __init__(self, stages: OrderedDict[str, nn.Module], mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """
        Args:
            mean, std: per colour channel, of images in [0, 1].
        """
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.normalise = Normalise(mean, std)

    @classmethod
    def published_file(cls, weights: str, root: str | Path | None) -> Path:
        """The file of published weights, downloaded to `root` first where it is missing.

        Args:
            weights: a name in the WEIGHTS of the backbone's module; a backbone that has some overrides this.
        """
        raise FsarError(f"{cls.__name__} knows no published weights; expected a file, found '{weights}'")

    @property
    def cuts(self) -> list[str]:
        return ["frames", *self.stages]

    def to_cut(self, images: UInt8[Tensor, "images 3 height width"], cut: str) -> Float[Tensor, "images dim h w"]:
        """Activations after the stage `cut`; the images themselves at `frames`. FsarError for an unknown cut."""
        hidden = images
        for module in self._sides(cut)[0]:
            hidden = module(hidden)
        return hidden

    def tail(self, cut: str) -> nn.Module:
        """What comes after `cut`, from its activations to the last stage's; nn.Identity where nothing is left."""
        rest = self._sides(cut)[1]
        return nn.Sequential(*rest) if rest else nn.Identity()

    def _sides(self, cut: str) -> tuple[list[nn.Module], list[nn.Module]]:
        """What runs before and what after a cut. The normalisation belongs to the first stage."""
        if cut not in self.cuts:
            raise FsarError(f"unknown cut '{cut}' of {type(self).__name__}{did_you_mean(cut, self.cuts)}")
        modules, position = [self.normalise, *self.stages.values()], self.cuts.index(cut)
        before = position + 1 if position else 0
        return modules[:before], modules[before:]


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
            if zipfile.is_zipfile(path) and (bad := zip_damage(path)):  # files of before torch 1.6 are no zip files
                raise FsarError(
                    f"{path}: damaged ('{bad}' is not as its checksum says); {mend(path)} if the pipeline trained it, else get "
                    f"it anew"
                )
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FsarError(f"{path}: no such weights file") from None
    except FsarError:
        raise
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError, SafetensorError, zipfile errors ...
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise FsarError(
            f"{path}: not a state dict that loads with weights_only=True ({reason}); expected a file written by "
            f"torch.save(model.state_dict()), or *.safetensors"
        ) from None
    if isinstance(state, dict) and inside in state:
        state = state[inside]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
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
        parts += [f"'{key}' is {tuple(state[key].shape)}, expected {tuple(own[key].shape)}" for key in shapes[:1]]
        raise FsarError(f"{path}: no weights of {type(module).__name__}: {'; '.join(parts)}")
    module.load_state_dict(state)
