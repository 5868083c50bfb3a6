"""The pixel decoder: a feature pyramid with an ordinary transformer on its coarsest map.

Source: SEEM's "transformer_encoder_fpn", after Cheng et al., NeurIPS 2021 (MaskFormer), and Lin et al., CVPR 2017 (FPN).
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.mask_providers.seem.attention import Attention, Tokens
from fsar_core.mask_providers.seem.config import SeemConfig
from fsar_core.mask_providers.seem.mask_features import MaskFeatures
from fsar_core.mask_providers.seem.positions import sine_positions

Map = Float[Tensor, "batch dim height width"]


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, a norm after each sum. Positions are added to queries and keys, not to values."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, tokens: Tokens, positions: Float[Tensor, "tokens dim"]) -> Tokens:
        placed = tokens + positions
        tokens = self.norm1(tokens + self.self_attn(placed, placed, tokens))
        return self.norm2(tokens + self.linear2(F.relu(self.linear1(tokens))))


def pointwise(convolution: nn.Conv2d, x: Map) -> Float[Tensor, "batch out height width"]:
    """A 1x1 convolution as the matrix product that it is: maps lie with their channels last, and not every kernel keeps that."""
    return F.linear(x.movedim(1, -1), convolution.weight.flatten(1), convolution.bias).movedim(
        -1, 1
    )


class NormedConv(nn.Conv2d):
    """Convolution without bias, GroupNorm, and ReLU where wanted."""

    def __init__(self, dim: int, out: int, kernel: int, groups: int, relu: bool) -> None:
        super().__init__(dim, out, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(groups, out)
        self.relu = relu

    def forward(self, x: Map) -> Float[Tensor, "batch out height width"]:
        x = self.norm(pointwise(self, x) if self.kernel_size == (1, 1) else super().forward(x))
        return F.relu(x) if self.relu else x


class PixelDecoder(nn.Module):
    """From the backbone's four maps to three memories and the features that masks are made of.

    `adapter_k` brings a map of the backbone to `dim` channels, `layer_k` mixes it with the coarser map; k = 1 is stride 4.
    """

    def __init__(self, config: SeemConfig) -> None:
        super().__init__()
        dim = config.dim
        self.input_proj = nn.Conv2d(config.channels[-1], dim, 1)
        self.encoder = nn.ModuleList(
            EncoderLayer(dim, config.heads, config.feed_forward)
            for _ in range(config.encoder_layers)
        )
        for number, channels in enumerate(config.channels[:-1], start=1):
            self.add_module(
                f"adapter_{number}", NormedConv(channels, dim, 1, config.groups, relu=False)
            )
        for number in range(1, len(config.channels) + 1):
            self.add_module(f"layer_{number}", NormedConv(dim, dim, 3, config.groups, relu=True))
        self.mask_features = MaskFeatures(dim)

    def forward(self, maps: list[Map]) -> tuple[list[Map], Map]:
        """
        Args:
            maps: strides 4, 8, 16 and 32; each side is half of the one before.

        Returns:
            The memories, strides 32, 16 and 8, and the finest map, stride 4, from which `mask_features` is made.
        """
        *laterals, coarsest = maps
        y = self.layer_4(self.encoded(pointwise(self.input_proj, coarsest)))
        pyramid = [y]
        for number, lateral in reversed(list(enumerate(laterals, start=1))):
            adapter, layer = getattr(self, f"adapter_{number}"), getattr(self, f"layer_{number}")
            y = layer(adapter(lateral) + F.interpolate(y, scale_factor=2.0, mode="nearest"))
            pyramid.append(y)
        return pyramid[:-1], pyramid[-1]

    def encoded(self, x: Map) -> Map:
        """The transformer over all cells of a map."""
        height, width = x.shape[-2:]
        tokens = rearrange(x, "batch dim height width -> batch (height width) dim")
        positions = sine_positions(height, width, x.shape[1], x.device, x.dtype)
        for layer in self.encoder:
            tokens = layer(tokens, positions)
        return rearrange(
            tokens, "batch (height width) dim -> batch dim height width", height=height
        )
