"""A small vision transformer that the pipeline trains itself: adapters in the demo, without a download.

Source: own; patches of 8 pixels (or as asked), four pre-norm blocks (Dosovitskiy et al., ICLR 2021), trained as a TSN
classifier (Wang et al., ECCV 2016: mean of frame logits) on the training classes by `fsar train-backbone`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, MultipleOf
from torch import nn

from fsar_core.components.backbone import Backbone
from fsar_core.components.weights import load_strictly, read_state_dict
from fsar_core.layers.vision_transformer import vit_stages


class DemoViT(Backbone):
    """Input: RGB in [0, 1], mean 0.45 and std 0.225. `tokens` and blocks: `dim` x 65 x 1 for a 64-pixel crop, the class token
    first; `pooled`: `dim` x 1 x 1. Other crops, multiples of the patch, get interpolated positions.

    Args:
        weights: a file written by `fsar train-backbone`, or None for random weights.
        dim: channels of a token; a multiple of the 4 heads.
        patch: side of a patch in pixels; divides 64.
    """

    version = 1
    cuts = ("frames", "tokens", "block1", "block2", "block3", "block4", "pooled")
    trainable = True

    def __init__(
        self,
        weights: str | Path | None = None,
        weights_root: str | Path | None = None,
        dim: Annotated[int, Ge(8), MultipleOf(4)] = 64,
        patch: Literal[1, 2, 4, 8, 16, 32, 64] = 8,
    ) -> None:
        stages = vit_stages(dim, heads=4, depth=4, patch=patch, image=64, activation=nn.GELU)
        super().__init__(stages, mean=(0.45,) * 3, std=(0.225,) * 3)
        if weights is not None:
            load_strictly(self, read_state_dict(Path(weights)), weights)
