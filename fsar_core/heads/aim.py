"""AIM: a frozen vision transformer made to see time by running its own attention over the frames, with three adapters a block.

Source: Yang et al., "AIM: Adapting Image Models for Efficient Video Action Recognition", ICLR 2023; a row of Table IV of Guo
et al. (DMGAL). An adapter is W_up GELU(W_down x), in some places with a residual; the bottleneck is a quarter of the width.
Per block, with MSA the frozen attention and every up-projection 0 at the start:

    temporal    x + adapter(MSA over frames(norm x))               without residual: at the start the block has no such step
    spatial     x + MSA'(norm x), MSA' = a + adapter(a)            a: MSA over the tokens of a frame
    joint       x + MLP(norm x) + s · adapter(norm x)              s = 0.5

and one trained embedding of the frame's number, 0 at the start, added to every token of a frame. Over the frames each token
attends to itself in the others; the class token too, as in the authors' code.

Trained parameters, d = D / r: blocks · 3 (2 D d + D + d) + frames · D. ViT-B/16, 8 frames, r = 4: 10,657,536.

Differs: the frame embedding is added at the cut, behind the transformer's first norm; in the code before that norm.
Differs: the last norm stays frozen with the rest (in the code it is trained), and no drop path: that is the recipe of a
classifier on hundreds of thousands of videos.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsar_core.components.parameters import PositiveInt
from fsar_core.errors import FsarError
from fsar_core.layers.adapters import AdaptedViT, Sets, VideoTokens, attend
from fsar_core.layers.sizes import divide
from fsar_core.layers.vision_transformer import Block


class AIM(AdaptedViT):
    """Temporal, spatial and joint adaptation in every block behind the cut.

    Args:
        tail: of the backbone, as in `AdaptedViT`.
        frames: of a clip; the frame embedding depends on it.
        r: width of the tokens over that of the bottleneck; divides it.
        scale: of the joint adapter, s.

    Raises:
        FsarError: a value outside these, or no transformer behind the cut.
    """

    def __init__(
        self, tail: nn.Module, frames: PositiveInt = 8, r: PositiveInt = 4, scale: float = 0.5
    ) -> None:
        super().__init__(tail)
        self.scale = scale
        channels = divide(self.name, self.dim, "r", r)
        names = ("temporal", "spatial", "joint")
        self.adapters = nn.ModuleList(
            nn.ModuleDict({name: Bottleneck(self.dim, channels) for name in names})
            for _ in range(self.depth)
        )
        self.frame_embedding = nn.Parameter(torch.zeros(frames, 1, self.dim))

    def run(self, place: int, block: Block, sets: Sets) -> Sets:
        if place == 0:
            sets = tuple(self._numbered(tokens) for tokens in sets)
        return tuple(self._through(self.adapters[place], block, tokens) for tokens in sets)

    def _numbered(self, tokens: VideoTokens) -> VideoTokens:
        if tokens.shape[-3] != len(self.frame_embedding):
            raise FsarError(
                f"aim: {tokens.shape[-3]} frames, the head was built for {len(self.frame_embedding)}; "
                f"use frames={tokens.shape[-3]}"
            )
        return tokens + self.frame_embedding

    def _through(self, adapters: nn.ModuleDict, block: Block, tokens: VideoTokens) -> VideoTokens:
        over_frames = attend(block, tokens.transpose(-3, -2)).transpose(-3, -2)
        tokens = tokens + adapters["temporal"](over_frames)
        in_frame = attend(block, tokens)
        tokens = tokens + in_frame + adapters["spatial"](in_frame)
        normed = block.ln_2(tokens)
        return tokens + block.mlp(normed) + self.scale * adapters["joint"](normed)


class Bottleneck(nn.Module):
    """W_up GELU(W_down x), 0 at the start."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(dim, channels), nn.Linear(channels, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.gelu(self.down(x)))
