"""FocalNet: the backbone. Instead of attention, every position is multiplied by what it sees through growing windows.

Source: Yang et al., NeurIPS 2022 ("Focal Modulation Networks"); SEEM uses the tiny one with depthwise convolutions between the
parts of a block, and the large one without. Maps lie as [batch height width dim], which linear layers and norms want; a
convolution sees the same memory as channels_last. Drop-path is for training and left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.mask_providers.seem.config import SeemConfig

Map = Float[Tensor, "batch height width dim"]


def convolved(convolution: nn.Conv2d, x: Map) -> Float[Tensor, "batch h w out"]:
    """A convolution of a map whose channels come last."""
    return convolution(x.movedim(-1, 1)).movedim(1, -1)


class FocalModulation(nn.Module):
    """q * h(the gated sum of contexts): the sum runs over focal levels, each a depthwise convolution of the one before it,
    and the mean of the last one over the whole map. The sum is divided by their number."""

    def __init__(self, dim: int, levels: int) -> None:
        super().__init__()
        self.dim, self.levels = dim, levels
        self.f = nn.Linear(dim, 2 * dim + levels + 1)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(dim, dim, 3 + 2 * level, padding=1 + level, groups=dim, bias=False),
                nn.GELU(),
            )
            for level in range(levels)
        )
        self.h = nn.Conv2d(dim, dim, 1)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Map) -> Map:
        query, context, gates = self.f(x).split([self.dim, self.dim, self.levels + 1], dim=-1)
        total = torch.zeros((), dtype=x.dtype, device=x.device)
        for level, layer in enumerate(self.focal_layers):
            context = convolved(layer, context)
            total = torch.addcmul(total, context, gates[..., level : level + 1])
        everywhere = F.gelu(context.mean((1, 2), keepdim=True))
        total = torch.addcmul(total, everywhere, gates[..., -1:])
        modulator = F.linear(total / (self.levels + 1), self.h.weight.flatten(1), self.h.bias)
        return self.proj(query * modulator)


class MLP(nn.Module):
    """fc2(gelu(fc1(x))), four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Map) -> Map:
        return self.fc2(F.gelu(self.fc1(x)))


class FocalBlock(nn.Module):
    """Modulation, then MLP. The norms are inside the residual branches."""

    def __init__(self, dim: int, levels: int) -> None:
        super().__init__()
        self.modulation = FocalModulation(dim, levels)
        self.norm1 = nn.LayerNorm(dim)
        self.mlp = MLP(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.gamma_1 = nn.Parameter(torch.ones(dim))
        self.gamma_2 = nn.Parameter(torch.ones(dim))

    def forward(self, x: Map) -> Map:
        x = torch.addcmul(x, self.gamma_1, self.norm1(self.modulation(x)))
        return torch.addcmul(x, self.gamma_2, self.norm2(self.mlp(x)))


class DepthwiseFocalBlock(FocalBlock):
    """A depthwise 3x3 convolution is added before each of the two parts, and the norms come after the sums."""

    def __init__(self, dim: int, levels: int) -> None:
        super().__init__(dim, levels)
        self.dw1 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.dw2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Map) -> Map:
        x = x + convolved(self.dw1, x)
        x = self.norm1(torch.addcmul(x, self.gamma_1, self.modulation(x)))
        x = x + convolved(self.dw2, x)
        return self.norm2(torch.addcmul(x, self.gamma_2, self.mlp(x)))


class PatchEmbed(nn.Module):
    """A strided convolution and a norm: the stem, and the step between two stages."""

    def __init__(self, dim: int, out: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(dim, out, kernel, stride=stride, padding=padding)
        self.norm = nn.LayerNorm(out)

    def forward(self, x: Map) -> Float[Tensor, "batch h w out"]:
        return self.norm(convolved(self.proj, x))


class Stage(nn.Module):
    """Blocks at one resolution, and (not in the last stage) the step to the next: half the sides, twice the channels."""

    def __init__(self, config: SeemConfig, number: int) -> None:
        super().__init__()
        dim, block = (
            config.channels[number],
            DepthwiseFocalBlock if config.depthwise else FocalBlock,
        )
        self.blocks = nn.Sequential(
            *(block(dim, config.focal_levels) for _ in range(config.depths[number]))
        )
        following = config.channels[number + 1 : number + 2]
        self.downsample = (
            PatchEmbed(dim, following[0], kernel=3, stride=2, padding=1)
            if following
            else nn.Identity()
        )


class FocalNet(nn.Module):
    """Four maps of strides 4, 8, 16 and 32."""

    def __init__(self, config: SeemConfig) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(
            3, config.channels[0], kernel=7, stride=4, padding=config.stem_padding
        )
        self.layers = nn.ModuleList(Stage(config, number) for number in range(len(config.channels)))
        for number, dim in enumerate(config.channels):
            self.add_module(f"norm{number}", nn.LayerNorm(dim))

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch dim h w"]]:
        """
        Args:
            images: normalised, sides are multiples of 32.

        Returns:
            res2 .. res5: a normed copy of every stage's last map; the next stage goes on from the map that is not normed.
        """
        x, maps = self.patch_embed(images.movedim(1, -1)), []
        for number, stage in enumerate(self.layers):
            x = stage.blocks(x)
            maps.append(getattr(self, f"norm{number}")(x).movedim(-1, 1))
            x = stage.downsample(x)
        return maps
