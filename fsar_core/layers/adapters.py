"""What the adapter heads share: a frozen vision transformer behind the cut, and small trained parts inside it.

Such a head derives from `AdaptedViT` and is given the tail of the backbone. It holds it as `tail`, runs the frozen blocks
itself, and returns the class token of every frame. Whether the tail is trained, `EpisodeModel` decides.

Source: Pan et al., "ST-Adapter", NeurIPS 2022 (DMGAL's Eq. 15); Guo et al. (DMGAL), Eq. 16-17.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.components.head import Head
from fsar_core.errors import FsarError
from fsar_core.layers.vision_transformer import Block, ClassToken, tokens_of
from fsar_core.types import HeadOutput

# Of support [batch way shot ...] or query [batch query ...]; the class token comes first.
VideoTokens = Float[Tensor, "*videos frames tokens dim"]
Sets = tuple[VideoTokens, ...]
Patches = Float[Tensor, "*videos frames patches channels"]


class AdaptedViT(Head):
    """Runs the tail of a vision transformer on an episode, block by block; a subclass says how a block is run.

    Args:
        tail: what lies behind the cut: nn.Sequential of any stages, `Block`s and a `ClassToken`.

    Attributes:
        dim: width of the tokens.
        blocks: the tail's blocks in order.

    Raises:
        FsarError: another tail, or one without a block.
    """

    wraps_tail = True

    def __init__(self, tail: nn.Module) -> None:
        super().__init__()
        stages = list(tail) if isinstance(tail, nn.Sequential) else []
        self.depth = sum(isinstance(stage, Block) for stage in stages)
        self.first = len(stages) - 1 - self.depth
        in_order = all(isinstance(stage, Block) for stage in stages[self.first : -1])
        if not self.depth or not in_order or not isinstance(stages[-1], ClassToken):
            found = " -> ".join(type(stage).__name__ for stage in stages) or type(tail).__name__
            raise FsarError(
                f"{self.name}: needs the blocks of a vision transformer behind the cut, found {found}; choose a backbone that "
                f"has them and its cut `tokens`"
            )
        self.tail, self.dim = tail, stages[-1].ln_post.normalized_shape[0]

    @property
    def blocks(self) -> list[Block]:
        return list(self.tail)[self.first : -1]

    @property
    def relates_from(self) -> int:
        """The first block in which clips of an episode interact; the number of blocks if none."""
        return self.depth

    @property
    def relates(self) -> bool:
        """Whether clips of an episode interact in any block."""
        return self.relates_from < self.depth

    def encode(self, clips: Float[Tensor, "*videos frames dim tokens 1"]) -> Tensor:
        """Run the blocks before `relates_from`.

        Returns:
            Tokens [*videos frames tokens dim], or class tokens if no block is left.
        """
        sets: Sets = (self._tokens(clips),)
        for place, block in enumerate(self.blocks[: self.relates_from]):
            sets = self.run(place, block, sets)
        return sets[0] if self.relates else self._class_tokens(sets[0])

    def relate(self, support: VideoTokens, query: VideoTokens) -> HeadOutput:
        """Run the blocks from `relates_from` on encoded clips.

        Returns:
            The tail's class tokens, [batch way shot frames dim 1 1] and [batch query frames dim 1 1].
        """
        if not self.relates:
            return HeadOutput(support, query)
        sets: Sets = (support, query)
        for place in range(self.relates_from, self.depth):
            sets = self.run(place, self.blocks[place], sets)
        return HeadOutput(*(self._class_tokens(tokens) for tokens in sets))

    @abstractmethod
    def run(self, place: int, block: Block, sets: Sets) -> Sets:
        """Run support and query through one block and its adapters.

        Args:
            place: number of the block, from 0.
        """

    def _tokens(self, features: Tensor) -> VideoTokens:
        images = self.tail[: self.first](features.flatten(0, -4))
        if images.shape[1] != self.dim or images.shape[3] != 1:
            raise FsarError(
                f"{self.name}: features must be tokens [.. {self.dim} tokens 1], got {list(images.shape[1:])} for a frame"
            )
        return tokens_of(images).unflatten(0, features.shape[:-3])

    def _class_tokens(self, tokens: VideoTokens) -> Float[Tensor, "*videos frames dim 1 1"]:
        images = rearrange(tokens.flatten(0, -3), "images tokens dim -> images dim tokens 1")
        return self.tail[-1](images).unflatten(0, tokens.shape[:-2])


def attend(block: Block, tokens: VideoTokens) -> VideoTokens:
    """The block's normed self-attention over the tokens of every frame, without the residual."""
    return block.attend(block.ln_1(tokens).flatten(0, -3)).unflatten(0, tokens.shape[:-2])


def feed_forward(block: Block, tokens: VideoTokens) -> VideoTokens:
    """The block's normed MLP, without the residual."""
    return block.mlp(block.ln_2(tokens))


class Adapter(nn.Module):
    """Eq. 15-17: X + operation(X W_down) W_up, where the operation sees the patches alone.

    Both projections have a bias, 0 at the start; there is no activation.

    Args:
        dim: width of the tokens, D.
        channels: width between the projections, D'.
        operation: module from the patches of one or more sets [*videos frames patches channels] to as many.
        class_token: "bypass": goes through both projections but not through the operation. "skip": stays as it is.
    """

    def __init__(self, dim: int, channels: int, operation: nn.Module, class_token: str) -> None:
        super().__init__()
        self.down, self.operation, self.up = (
            nn.Linear(dim, channels),
            operation,
            nn.Linear(channels, dim),
        )
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.bias)
        self.class_token = class_token

    def forward(self, sets: Sets) -> Sets:
        low = [self.down(tokens) for tokens in sets]
        patches = self.operation(*(rows[..., 1:, :] for rows in low))
        return tuple(
            tokens + self._up(rows, moved) for tokens, rows, moved in zip(sets, low, patches)
        )

    def _up(self, low: VideoTokens, patches: Patches) -> VideoTokens:
        if self.class_token == "bypass":
            return self.up(torch.cat([low[..., :1, :], patches], dim=-2))
        return F.pad(self.up(patches), (0, 0, 1, 0))


class TemporalConvolution(nn.Module):
    """DWConv3D of Eq. 15 with the kernel 3x1x1: a depth-wise convolution over the frames, with bias, frames beyond the ends 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # As a 2D convolution over [frames patches]: the same sums, an order of magnitude faster than conv3d.
        self.conv = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), groups=channels)

    def forward(self, *sets: Patches) -> tuple[Patches, ...]:
        return tuple(self._over_frames(patches) for patches in sets)

    def _over_frames(self, patches: Patches) -> Patches:
        maps = rearrange(
            patches.flatten(0, -4),
            "videos frames patches channels -> videos channels frames patches",
        )
        rows = rearrange(
            self.conv(maps), "videos channels frames patches -> videos frames patches channels"
        )
        return rows.unflatten(0, patches.shape[:-3])


class OnGrid(nn.Module):
    """A layer of grids [*videos frames channels height width] on patches; they form a square.

    Args:
        owner: the head's name, for errors.
        layer: takes each set alone, or, with `whole_episode`, support and query together, and returns both.
    """

    def __init__(self, owner: str, layer: nn.Module, whole_episode: bool = False) -> None:
        super().__init__()
        self.owner, self.layer, self.whole_episode = owner, layer, whole_episode

    def forward(self, *sets: Patches) -> tuple[Patches, ...]:
        grids = [self._grid(patches) for patches in sets]
        grids = self.layer(*grids) if self.whole_episode else map(self.layer, grids)
        return tuple(
            rearrange(grid, "... channels height width -> ... (height width) channels")
            for grid in grids
        )

    def _grid(self, patches: Patches) -> Float[Tensor, "*videos frames channels height width"]:
        count = patches.shape[-2]
        side = math.isqrt(count)
        if side * side != count:
            raise FsarError(f"{self.owner}: {count} patches form no square; use square images")
        return rearrange(
            patches, "... (height width) channels -> ... channels height width", height=side
        )
