"""Vision transformers in stages: patches to tokens, blocks, the class token out. Adapters are put between their parts.

At every cut the tokens of a frame lie as [images dim tokens 1] (axes of a feature store: `dim height width`), the class token
first, then the patches row by row. The last stage gives [images dim 1 1].

Source: Dosovitskiy et al., ICLR 2021; Radford et al., ICML 2021 (CLIP: a norm before the blocks, no bias at the patches,
QuickGELU in OpenAI's weights). Names of parameters are CLIP's; `_open_clip` puts the stage before them.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.errors import FsarError

TokenFeatures = Float[Tensor, "images dim tokens 1"]
Tokens = Float[Tensor, "images tokens dim"]


def tokens_of(features: TokenFeatures) -> Tokens:
    """[images dim tokens 1] -> [images tokens dim]"""
    return rearrange(features, "images dim tokens 1 -> images tokens dim")


def features_of(tokens: Tokens) -> TokenFeatures:
    """[images tokens dim] -> [images dim tokens 1]"""
    return rearrange(tokens, "images tokens dim -> images dim tokens 1")


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the activation of OpenAI's weights."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Embed(nn.Module):
    """Normalised images to tokens: patches, class token, positions, norm.

    The positions are those of a square image of `image` pixels; for others they are interpolated (bicubic, antialiased).
    FsarError for an image whose sides are no multiples of `patch`.
    """

    def __init__(self, dim: int, patch: int, image: int) -> None:
        super().__init__()
        self.patch = patch
        self.conv1 = nn.Conv2d(3, dim, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(dim**-0.5 * torch.randn(dim))
        self.positional_embedding = nn.Parameter(
            dim**-0.5 * torch.randn((image // patch) ** 2 + 1, dim)
        )
        self.ln_pre = nn.LayerNorm(dim)

    def forward(self, images: Float[Tensor, "images 3 height width"]) -> TokenFeatures:
        height, width = images.shape[-2:]
        if height % self.patch or width % self.patch:
            raise FsarError(
                f"a crop of {height} x {width} pixels; expected multiples of the patch of {self.patch} pixels"
            )
        patches = self.conv1(images)
        rows = rearrange(patches, "images dim height width -> images (height width) dim")
        first = self.class_embedding.expand(len(rows), 1, -1)
        return features_of(
            self.ln_pre(torch.cat([first, rows], dim=1) + self._positions(*patches.shape[-2:]))
        )

    def _positions(self, height: int, width: int) -> Float[Tensor, "tokens dim"]:
        first, rest = self.positional_embedding[:1], self.positional_embedding[1:]
        side = int(len(rest) ** 0.5)
        if (height, width) == (side, side):
            return self.positional_embedding
        grid = rearrange(rest, "(height width) dim -> 1 dim height width", height=side)
        grid = F.interpolate(
            grid, (height, width), mode="bicubic", antialias=True, align_corners=False
        )
        return torch.cat([first, rearrange(grid, "1 dim height width -> (height width) dim")])


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)). What adapters need of it: `ln_1`, `attend`, `ln_2`, `mlp`."""

    def __init__(self, dim: int, heads: int, activation: type[nn.Module] = nn.GELU) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(dim, 4 * dim), gelu=activation(), c_proj=nn.Linear(4 * dim, dim)
            )
        )

    def attend(self, tokens: Tokens) -> Tokens:
        """Self-attention over the tokens of each image (or of whatever the first axis counts), of tokens that are normed."""
        return self.attn(tokens, tokens, tokens, need_weights=False)[0]

    def forward(self, features: TokenFeatures) -> TokenFeatures:
        tokens = tokens_of(features)
        tokens = tokens + self.attend(self.ln_1(tokens))
        return features_of(tokens + self.mlp(self.ln_2(tokens)))


class ClassToken(nn.Module):
    """The normed class token [images dim 1 1], projected where there is a projection."""

    def __init__(self, dim: int, out_dim: int | None = None) -> None:
        super().__init__()
        self.ln_post = nn.LayerNorm(dim)
        self.proj = nn.Parameter(dim**-0.5 * torch.randn(dim, out_dim)) if out_dim else None

    def forward(self, features: TokenFeatures) -> Float[Tensor, "images dim 1 1"]:
        first = self.ln_post(tokens_of(features)[:, 0])
        return (first if self.proj is None else first @ self.proj)[..., None, None]


def vit_stages(
    dim: int,
    heads: int,
    depth: int,
    patch: int,
    image: int,
    activation: type[nn.Module],
    out_dim: int | None = None,
) -> OrderedDict[str, nn.Module]:
    """Stages `tokens`, `block1` .. `block<depth>`, `pooled` of a Backbone."""
    blocks = {f"block{number}": Block(dim, heads, activation) for number in range(1, depth + 1)}
    return OrderedDict(tokens=Embed(dim, patch, image), **blocks, pooled=ClassToken(dim, out_dim))
