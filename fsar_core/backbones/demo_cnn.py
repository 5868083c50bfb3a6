"""A small CNN that the pipeline trains itself, so that the default needs no download.

Source: own; four stride-2 stages of 3x3 convolutions with BatchNorm and ReLU, trained as a TSN classifier (Wang et al.,
ECCV 2016: mean of frame logits) on the training classes by `fsar train-backbone`.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, MultipleOf
from torch import nn

from fsar_core.components.backbone import Backbone
from fsar_core.components.weights import load_strictly, read_state_dict


class DemoCNN(Backbone):
    """Input: RGB in [0, 1], mean 0.45 and std 0.225. layer4: `dim` x 4 x 4 for a 64-pixel crop.

    Args:
        weights: a file written by `fsar train-backbone`, or None for random weights.
        dim: channels of layer3 and layer4; layer1 has a quarter of them, layer2 half.
    """

    version = 1
    cuts = ("frames", "layer1", "layer2", "layer3", "layer4")
    trainable = True

    def __init__(
        self,
        weights: str | Path | None = None,
        weights_root: str | Path | None = None,
        dim: Annotated[int, Ge(8), MultipleOf(4)] = 128,
    ) -> None:
        widths = (3, dim // 4, dim // 2, dim, dim)
        stages = OrderedDict(
            (cut, _stage(widths[i], widths[i + 1])) for i, cut in enumerate(self.cuts[1:])
        )
        super().__init__(stages, mean=(0.45,) * 3, std=(0.225,) * 3)
        if weights is not None:
            load_strictly(self, read_state_dict(Path(weights)), weights)


def _stage(channels: int, dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, dim, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(dim),
        nn.ReLU(),
    )
