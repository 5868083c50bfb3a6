"""A small vision transformer that the pipeline trains itself: adapters in the demo, without a download.

Source: own; patches of 8 pixels (or as asked), four pre-norm blocks (Dosovitskiy et al., ICLR 2021), trained as a TSN
classifier (Wang et al., ECCV 2016: mean of frame logits) on the training classes by `fsar train-backbone`.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from fsar_core.backbones._stages import StagedBackbone, load_strictly, read_state_dict
from fsar_core.errors import FsarError
from fsar_core.layers.vision_transformer import vit_stages

VERSION = 1
CUTS = ("frames", "tokens", "block1", "block2", "block3", "block4", "pooled")
TRAINABLE = True  # the pipeline trains it where no weights are named


class DemoViT(StagedBackbone):
    """Input: RGB in [0, 1], mean 0.45 and std 0.225. `tokens` and blocks: `dim` x 65 x 1 for a 64-pixel crop, the class token
    first; `pooled`: `dim` x 1 x 1. Other crops, multiples of the patch, get interpolated positions.

    Args:
        weights: a file written by `fsar train-backbone`, or None for random weights.
        dim: channels of a token; a multiple of the 4 heads.
        patch: side of a patch in pixels; divides 64.
    """

    def __init__(
        self, weights: str | Path | None = None, weights_root: str | Path | None = None, dim: int = 64, patch: int = 8
    ) -> None:
        if dim % 4 or dim < 8:
            raise FsarError(f"backbones 'demo_vit': dim {dim}; expected a multiple of 4 that is at least 8")
        if patch < 1 or 64 % patch:
            raise FsarError(f"backbones 'demo_vit': patch {patch}; expected a divisor of 64")
        stages = vit_stages(dim, heads=4, depth=4, patch=patch, image=64, activation=nn.GELU)
        super().__init__(stages, mean=(0.45,) * 3, std=(0.225,) * 3)
        if weights is not None:
            load_strictly(self, read_state_dict(Path(weights)), weights)
