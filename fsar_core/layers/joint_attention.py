"""Attention over image features and perceived instances, in space and in time, and its fusion.

Source: Qian et al., "Joint Image-Instance Spatial-Temporal Attention for Few-shot Action
Recognition" (I2ST), Eq. 4 and 5. What the text leaves open, and what is taken here, is listed in
`fsar_core/heads/i2st.py`.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.layers.positions import sinusoid
from fsar_core.layers.sizes import divide

# Standard deviation of the learned token and positions before training.
INITIAL_SCALE = 0.02

Fusion = Literal["self", "cross"]
Videos = Float[Tensor, "videos frames dim height width"]
Frames = Float[Tensor, "videos frames dim"]
Tokens = Float[Tensor, "batch tokens dim"]


class MultiHeadAttention(nn.Module):
    """MHA: attention of LayerNorm'd tokens, plus the tokens that ask if `residual`.

    Queries, keys and values have no bias, the output has one; dropout follows it.

    Args:
        dim: numbers in a token.
        heads: of the attention.
        width: channels of a head. None: dim / heads.
        residual: whether the input is added.
        dropout: from 0 to below 1.
        owner: name of the head, for errors.

    Raises:
        FsarError: no width is given, and `heads` does not divide `dim`.

    Example:
        >>> MultiHeadAttention(dim=8, heads=2)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        width: int | None = None,
        residual: bool = True,
        dropout: float = 0.2,
        owner: str = "i2st",
    ) -> None:
        super().__init__()
        width = divide(owner, dim, "heads", heads) if width is None else width
        self.heads = heads
        self.residual = residual
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, heads * width, bias=False)
        self.key_value = nn.Linear(dim, 2 * heads * width, bias=False)
        self.out = nn.Linear(heads * width, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tokens, attended_to: Float[Tensor, "batch _tokens dim"] | None = None
    ) -> Tokens:
        """Let tokens attend.

        Args:
            tokens: the tokens that ask, [batch tokens dim].
            attended_to: where keys and values come from; None: from the tokens themselves.
        """
        normed = self.norm(tokens)
        source = normed if attended_to is None else self.norm(attended_to)
        query = rearrange(
            self.query(normed),
            "batch tokens (heads width) -> batch heads tokens width",
            heads=self.heads,
        )
        key, value = rearrange(
            self.key_value(source),
            "batch tokens (two heads width) -> two batch heads tokens width",
            two=2,
            heads=self.heads,
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        attended = rearrange(attended, "batch heads tokens width -> batch tokens (heads width)")
        attended = self.dropout(self.out(attended))
        return tokens + attended if self.residual else attended


class FeedForward(nn.Module):
    """FFN of Eq. 4, with its residual."""

    def __init__(self, dim: int, dropout: float = 0.05) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform each token."""
        return tokens + self.layers(tokens)


class FusionBranch(nn.Module):
    """Eq. 4: one branch on its sequences of tokens.

    Args:
        dim: numbers in a token.
        instance: whether there are instance embeddings.
        fusion: "self": images and instances attend to themselves and are added. "cross": instances
            attend to images. Without instances it does not matter.
        ffn_dropout: of the FFN.
        attention: arguments of every `MultiHeadAttention`.
    """

    def __init__(
        self,
        dim: int,
        instance: bool = True,
        fusion: Fusion = "self",
        ffn_dropout: float = 0.05,
        **attention: Any,
    ) -> None:
        super().__init__()
        self.cross = instance and fusion == "cross"
        self.attention = MultiHeadAttention(dim, **attention)
        self.instance_attention = None
        if instance and not self.cross:
            self.instance_attention = MultiHeadAttention(dim, **attention)
        self.feed_forward = FeedForward(dim, ffn_dropout)

    def forward(self, images: Tokens, instances: Tokens | None = None) -> Tokens:
        """Fuse the tokens of images and of instances, if there are any."""
        if self.cross:
            return self.feed_forward(self.attention(instances, images))
        attended = self.attention(images)
        if self.instance_attention is not None:
            attended = attended + self.instance_attention(instances)
        return self.feed_forward(attended)


class SpatialTemporalAttention(nn.Module):
    """Eq. 4 in both branches, pooled over the patches and added: the first line of Eq. 5.

    Args:
        dim: channels of the features.
        spatial: with the branch whose tokens are a frame's patches.
        temporal: with the branch whose tokens are a patch's frames.
        branch: arguments of both branches, as in `FusionBranch`.
    """

    def __init__(
        self, dim: int, spatial: bool = True, temporal: bool = True, **branch: Any
    ) -> None:
        super().__init__()
        self.spatial = FusionBranch(dim, **branch) if spatial else None
        self.temporal = FusionBranch(dim, **branch) if temporal else None

    def forward(self, images: Videos, instances: Videos | None = None) -> Frames:
        """Attend, and average over the patches.

        Args:
            images: f_img, [videos frames dim height width]
            instances: f_ins, the same; None if built with instance=False.
        """
        pooled = []
        if self.spatial is not None:
            patches = "videos frames dim height width -> (videos frames) (height width) dim"
            attended = self.spatial(*_unfolded(patches, images, instances))
            mean = "(videos frames) patches dim -> videos frames dim"
            pooled.append(reduce(attended, mean, "mean", frames=images.shape[1]))
        if self.temporal is not None:
            times = "videos frames dim height width -> (videos height width) frames dim"
            attended = self.temporal(*_unfolded(times, images, instances))
            mean = "(videos patches) frames dim -> videos frames dim"
            pooled.append(reduce(attended, mean, "mean", videos=len(images)))
        return sum(pooled)


class GlobalFusion(nn.Module):
    """Eq. 5, second line: a learned token before the frames, positions, one MHA over all.

    Args:
        dim: channels of the features.
        frames: of a video; only learned positions depend on it.
        positions: "learned" or "sinusoid".
        attention: arguments of `MultiHeadAttention`.
    """

    def __init__(
        self,
        dim: int,
        frames: int = 8,
        positions: Literal["learned", "sinusoid"] = "learned",
        **attention: Any,
    ) -> None:
        super().__init__()
        self.token = nn.Parameter(INITIAL_SCALE * torch.randn(dim))
        self.positions = None
        if positions == "learned":
            self.positions = nn.Parameter(INITIAL_SCALE * torch.randn(1 + frames, dim))
        self.attention = MultiHeadAttention(dim, **attention)

    def forward(self, videos: Frames) -> Float[Tensor, "videos tokens dim"]:
        """[videos frames dim] -> [videos 1+frames dim], the token first."""
        entries = torch.cat([self.token.expand(len(videos), 1, -1), videos], dim=1)
        positions = self.positions
        if positions is None:
            positions = sinusoid(*entries.shape[1:], like=entries)
        return self.attention(entries + positions)


def _unfolded(
    pattern: str, images: Videos, instances: Videos | None
) -> tuple[Tokens, Tokens | None]:
    """Cut both into tokens."""
    tokens = rearrange(images, pattern)
    return tokens, None if instances is None else rearrange(instances, pattern)
