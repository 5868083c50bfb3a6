"""Networks small enough for oracles, with weights that leave nothing at zero."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from fsar_core.mask_providers.seem.config import SeemConfig
from fsar_core.mask_providers.seem.network import SEEM

TINY = SeemConfig(
    channels=(4, 6, 8, 10),
    depths=(1, 2, 1, 1),
    focal_levels=2,
    depthwise=True,
    stem_padding=3,
    dim=16,
    heads=2,
    feed_forward=12,
    groups=4,
    encoder_layers=2,
    queries=5,
    decoder_layers=4,
    text_layers=2,
    vocabulary=49408,
)
# The large network's kind of block, stem and number of levels.
TINY_L = replace(TINY, focal_levels=4, depthwise=False, stem_padding=2)
CONFIGS = {"focal_t": TINY, "focal_l": TINY_L}


def random_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter drawn anew, in double precision: factors of norms near 1, matrices by their fan-in, the rest small."""
    generator = torch.Generator().manual_seed(seed)
    module.double().eval().requires_grad_(False)
    for name, parameter in module.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if re.search(r"norm\d*\.weight$|ln_\w+\.weight$|gamma_\d$", name):
            parameter.copy_(1 + 0.3 * drawn)
        elif "embedding" in name:
            parameter.copy_(0.05 * drawn)
        elif parameter.dim() > 1 and not name.endswith(
            ("query_feat.weight", "query_embed.weight", "level_embed.weight")
        ):
            parameter.copy_(1.5 * drawn / parameter[0].numel() ** 0.5)
        else:
            parameter.copy_(0.5 * drawn)
    return module


def network(config: SeemConfig = TINY, seed: int = 0) -> SEEM:
    return random_weights(SEEM(config), seed)


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def last(x: torch.Tensor) -> np.ndarray:
    """One map [1 dim height width] as the oracles have it: [height width dim]."""
    return x[0].movedim(0, -1).detach().numpy()


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frames(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """uint8 [count 3 height width]"""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=generator)
