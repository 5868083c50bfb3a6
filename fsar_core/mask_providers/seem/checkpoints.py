"""SEEM's published checkpoints, loaded strictly: every tensor of a file is used, or it is known why it is not needed.

The names and shapes are those of the official code's own networks, versions 0 and 1 alike; the colours' mean and deviation are
in no file.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from fsar_core.components.weights import read_state_dict
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.mask_providers.seem.config import FOCAL_L, FOCAL_T, SeemConfig
from fsar_core.mask_providers.seem.network import SEEM


@dataclass(frozen=True)
class Checkpoint:
    """A published file.

    Attributes:
        config: the network that it fits.
        url: where its authors put it.
        notes: what a user should know of it.
    """

    config: SeemConfig
    url: str
    notes: str


_FOLDER = "https://huggingface.co/xdecoder/SEEM/resolve/main/"
_REUSED = "files of this name were published twice, in May 2023 with the weights of another version: keep its SHA-256"
CHECKPOINTS = MappingProxyType(
    {
        "seem_focalt_v1": Checkpoint(
            FOCAL_T, _FOLDER + "seem_focalt_v1.pt", f"FocalNet-T; {_REUSED}"
        ),
        "seem_focall_v1": Checkpoint(
            FOCAL_L, _FOLDER + "seem_focall_v1.pt", f"FocalNet-L; {_REUSED}"
        ),
        "seem_focalt_v0": Checkpoint(
            FOCAL_T, _FOLDER + "seem_focalt_v0.pt", "FocalNet-T; that of the official demo"
        ),
        "seem_focall_v0": Checkpoint(
            FOCAL_L, _FOLDER + "seem_focall_v0.pt", "FocalNet-L; the official demo's other one"
        ),
    }
)

_PREDICTOR = "sem_seg_head.predictor."
# Tensors of the official networks that have no influence on the mask of a text, and why. A file may lack them.
NOT_NEEDED = MappingProxyType(
    {
        "criterion.empty_weight": "class weights of the training loss",
        "dilation_kernel": "widens drawn strokes",
        f"{_PREDICTOR}lang_encoder.logit_scale": "one factor for the similarities of all queries; the nearest stays the nearest",
        f"{_PREDICTOR}mask_sptial_embed.0": "prompts by strokes",
        f"{_PREDICTOR}mask_sptial_embed.1": "prompts by strokes",
        f"{_PREDICTOR}mask_sptial_embed.2": "prompts by strokes",
        f"{_PREDICTOR}spatial_embed.weight": "prompts by strokes",
        f"{_PREDICTOR}spatial_featured.weight": "prompts by strokes",
        f"{_PREDICTOR}pn_indicator.weight": "tells positive strokes from negative ones",
    }
)

# Our names -> the official ones; the first pattern that fits counts. Names of the backbone are the same.
_OFFICIAL = (
    (r"pixel_decoder\.encoder\.", "sem_seg_head.pixel_decoder.transformer.encoder.layers."),
    (r"pixel_decoder\.", "sem_seg_head.pixel_decoder."),
    (r"language_encoder\.lang_proj", f"{_PREDICTOR}lang_encoder.lang_proj"),
    (r"language_encoder\.", f"{_PREDICTOR}lang_encoder.lang_encoder."),
    (r"mask_decoder\.layers\.(\d+)\.cross_attention\.attn\.",
     rf"{_PREDICTOR}transformer_cross_attention_layers.\1.multihead_attn."),
    (r"mask_decoder\.layers\.(\d+)\.self_attention\.attn\.",
     rf"{_PREDICTOR}transformer_self_attention_layers.\1.self_attn."),
    (r"mask_decoder\.layers\.(\d+)\.(\w+)\.", rf"{_PREDICTOR}transformer_\2_layers.\1."),
    (r"mask_decoder\.", _PREDICTOR),
)  # fmt: skip


def load(name: str, path: Path) -> SEEM:
    """The network of a checkpoint with the weights of a local file, in single precision, in evaluation mode.

    The file: torch.save of a flat state dict (read with weights_only=True), or the same as *.safetensors.

    Raises:
        FsarError: unknown name; no such file, or no state dict; a tensor that is missing, unknown or of another shape.
    """
    if name not in CHECKPOINTS:
        raise FsarError(f"unknown SEEM checkpoint '{name}'{did_you_mean(name, CHECKPOINTS)}")
    path = Path(path)
    state = read_state_dict(path)
    if difference := differences(state, CHECKPOINTS[name].config):
        fits = [other for other in CHECKPOINTS if not differences(state, CHECKPOINTS[other].config)]
        advice = (
            f"it fits {' and '.join(fits)}"
            if fits
            else f"expected {Path(CHECKPOINTS[name].url).name} as published"
        )
        raise FsarError(f"{path}: no weights of {name}: {difference}; {advice}")
    return build(state, CHECKPOINTS[name].config)


def build(state: dict[str, Tensor], config: SeemConfig) -> SEEM:
    """A network of a state dict with official names in which nothing differs."""
    with torch.device("meta"):
        network = SEEM(config)
    network.load_state_dict(
        {own: state[official(own)].float() for own in network.state_dict()}, assign=True
    )
    return network.requires_grad_(False).eval()


def differences(state: dict[str, Tensor], config: SeemConfig) -> str:
    """The first key of each kind that differs from what a network of `config` needs; empty where none does."""
    wanted = shapes(config)
    missing = [key for key in wanted if key not in state]
    unknown = [key for key in state if key not in wanted and key not in NOT_NEEDED]
    other = [
        key for key, shape in wanted.items() if key in state and tuple(state[key].shape) != shape
    ]
    parts = [
        f"'{key}' is {tuple(state[key].shape)}, expected {wanted[key]}{_more(other)}"
        for key in other[:1]
    ]
    parts += [f"lacks '{key}'{_more(missing)}" for key in missing[:1]]
    parts += [f"has the unknown '{key}'{_more(unknown)}" for key in unknown[:1]]
    return "; ".join(parts)


@functools.cache
def shapes(config: SeemConfig) -> dict[str, tuple[int, ...]]:
    """Official name -> shape of everything that a network of `config` needs."""
    with torch.device("meta"):
        network = SEEM(config)
    return {official(own): tuple(value.shape) for own, value in network.state_dict().items()}


def official(own: str) -> str:
    """The official name of one of our parameters."""
    for pattern, replacement in _OFFICIAL:
        if re.match(pattern, own):
            return re.sub(rf"^{pattern}", replacement, own)
    return own


def _more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
