"""ST-Adapter: a bottleneck with a temporal convolution in every block of a frozen vision transformer.

Source: Pan et al., "ST-Adapter: Parameter-Efficient Image-to-Video Transfer Learning", NeurIPS 2022; Eq. 15 of Guo et al.
(DMGAL), which compares with it in Table IV. X + DWConv3D(X W_down) W_up; width 384 of 768; the class token is left out, as
in the authors' code; the convolution starts at 0, so that the model starts as the frozen transformer.

Trained parameters, for D' = D / r: blocks · (2 D D' + D + 5 D'). ViT-B/16, r = 2: 7,110,144; `position="both"` 14,220,288.

Differs: the kernel is 3x1x1 only, the one of the paper's results.
Differs: the paper puts its adapter before the attention and, for a second one, before the MLP; the code's smaller published
setting has it before the MLP alone. All three are here (`position`). An adapter before the last MLP changes patches that
nothing reads any more: in "mlp" and "both" it has no effect on the features, in the code as here, and counts all the same.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from fsar_core.components.parameters import PositiveInt
from fsar_core.layers.adapters import (
    AdaptedViT,
    Adapter,
    Sets,
    TemporalConvolution,
    attend,
    feed_forward,
)
from fsar_core.layers.sizes import divide
from fsar_core.layers.vision_transformer import Block


class STAdapter(AdaptedViT):
    """Adapters before the attention, the MLP or both of every block behind the cut.

    Args:
        tail: of the backbone, as in `AdaptedViT`.
        r: D / D'; divides the width of the tokens.
        position: "attention", "mlp" or "both".

    Raises:
        FsarError: a value outside these, or no transformer behind the cut.
    """

    def __init__(
        self,
        tail: nn.Module,
        r: PositiveInt = 2,
        position: Literal["attention", "mlp", "both"] = "attention",
    ) -> None:
        super().__init__(tail)
        places = ("attention", "mlp") if position == "both" else (position,)
        channels = divide(self.name, self.dim, "r", r)
        self.adapters = nn.ModuleList(
            nn.ModuleDict({place: self._adapter(channels) for place in places})
            for _ in range(self.depth)
        )

    def _adapter(self, channels: int) -> Adapter:
        convolution = TemporalConvolution(channels)
        nn.init.zeros_(convolution.conv.weight)
        nn.init.zeros_(convolution.conv.bias)
        return Adapter(self.dim, channels, convolution, class_token="skip")

    def run(self, place: int, block: Block, sets: Sets) -> Sets:
        adapters = self.adapters[place]
        if "attention" in adapters:
            sets = adapters["attention"](sets)
        sets = tuple(tokens + attend(block, tokens) for tokens in sets)
        if "mlp" in adapters:
            sets = adapters["mlp"](sets)
        return tuple(tokens + feed_forward(block, tokens) for tokens in sets)
