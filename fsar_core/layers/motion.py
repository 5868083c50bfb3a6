"""Bidirectional multi-scale motion between neighbouring frames, and the attention that it guides.

Source: Guo et al., "Video-to-Task Learning via Motion-Guided Attention" (DMGAL), Eq. 1-7 and 10-13. What `variant` and
`end_frames` select, and what the text leaves open, is listed in `fsar_core/heads/dmgal.py`.

Differs: the average pooling of branch (c) shrinks no axis of length 1, so that any grid passes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

MotionMap = Float[Tensor, "batch frames patches channels"]
MotionPair = tuple[MotionMap, MotionMap]
KeyMap = Float[Tensor, "batch frames _patches channels"]


class MultiScale(nn.Module):
    """Eq. 2-3: the mean of three scales of a difference map, mixed by a 1x1 convolution.

    a) the map itself; b) 3x3 convolution; c) 2x2 average pooling, 3x3 convolution, upsampling. No non-linearity.
    """

    def __init__(self, channels: int, upsampling: str) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.fine = _conv3x3(channels)
        self.coarse = _conv3x3(channels)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(
        self, maps: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        height, width = maps.shape[-2:]
        coarse = self.coarse(F.avg_pool2d(maps, (min(2, height), min(2, width))))
        coarse = F.interpolate(coarse, (height, width), mode=self.upsampling)
        return self.mix((maps + self.fine(maps) + coarse) / 3)


class BidirectionalMotion(nn.Module):
    """Compress the channels and extract the motion of every frame towards both neighbours, Eq. 1-3.

    Args:
        dim: channels of the features.
        channels: channels after the compression, D / r; None leaves the compression out.
        variant: "paper" F_i - Φ2(F_j), bilinear upsampling; "released" Φ2(F_j) - F_i, nearest upsampling.
    """

    def __init__(self, dim: int, channels: int | None, variant: str) -> None:
        super().__init__()
        self.variant = variant
        if channels is None:
            channels, self.compress = dim, nn.Identity()
        else:
            self.compress = nn.Sequential(
                nn.Conv2d(dim, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )
        self.channels = channels
        self.phi2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.scales = MultiScale(channels, "bilinear" if variant == "paper" else "nearest")

    def forward(self, videos: Float[Tensor, "batch frames dim height width"]) -> MotionPair:
        """
        Returns:
            backward: M(F_i, F_{i+1}) at frame i, zero at the last frame. [batch frames patches channels]
            forward: M(F_i, F_{i-1}) at frame i, zero at the first frame. [batch frames patches channels]
        """
        frames, height = videos.shape[1], videos.shape[3]
        here = self.compress(
            rearrange(videos, "batch frames dim height width -> (batch frames) dim height width")
        )
        unfold = "(batch frames) channels height width -> batch frames channels height width"
        smooth = rearrange(self.phi2(here), unfold, frames=frames)
        here = rearrange(here, unfold, frames=frames)
        differences = [here[:, :-1] - smooth[:, 1:], here[:, 1:] - smooth[:, :-1]]
        if self.variant == "released":
            differences = [-difference for difference in differences]
        # Both directions share their layers and pass them at once.
        fold = "batch frames channels height width -> (batch frames) channels height width"
        maps = self.scales(torch.cat([rearrange(difference, fold) for difference in differences]))
        tokens = "(batch frames) channels height width -> batch frames (height width) channels"
        backward, forward = (
            rearrange(half, tokens, frames=frames - 1, height=height) for half in maps.chunk(2)
        )
        return F.pad(backward, (0, 0, 0, 0, 0, 1)), F.pad(forward, (0, 0, 0, 0, 1, 0))


class DepthwiseValues(nn.Module):
    """Φ3: a bias-free depth-wise convolution over the grid ("3x3") or over the frames ("3x1x1").

    Returns [batch frames patches dim], the values of the attention.
    """

    def __init__(self, dim: int, kernel: str) -> None:
        super().__init__()
        # 3x1x1 as a 2D convolution over [frames patches]: the same sums, an order of magnitude faster than conv3d.
        shape, padding = {"3x3": ((3, 3), (1, 1)), "3x1x1": ((3, 1), (1, 0))}[kernel]
        self.kernel = kernel
        self.conv = nn.Conv2d(dim, dim, shape, padding=padding, groups=dim, bias=False)

    def forward(
        self, videos: Float[Tensor, "batch frames dim height width"]
    ) -> Float[Tensor, "batch frames patches dim"]:
        if self.kernel == "3x1x1":
            rows = self.conv(
                rearrange(
                    videos, "batch frames dim height width -> batch dim frames (height width)"
                )
            )
            return rearrange(rows, "batch dim frames patches -> batch frames patches dim")
        grids = self.conv(
            rearrange(videos, "batch frames dim height width -> (batch frames) dim height width")
        )
        return rearrange(
            grids,
            "(batch frames) dim height width -> batch frames (height width) dim",
            frames=videos.shape[1],
        )


def motion_guided_attention(
    query: MotionPair,
    key: tuple[KeyMap, KeyMap],
    values: Float[Tensor, "batch frames _patches dim"],
    *,
    variant: str,
    end_frames: str,
    dropout: float,
    frame_all: bool = False,
) -> Float[Tensor, "batch frames patches dim"]:
    """Attend to `values` by the similarity of motion, Eq. 4-7 and 10-13; patches of several videos lie side by side.

    Args:
        query: backward and forward motion of the patches that attend. [batch frames patches channels] each
        key: the same of the patches attended to; their number may differ.
        values: what is attended to, one per key.
        variant: "paper" softmax of the sum of both scores; "released" mean of two softmaxes.
        end_frames: "zero" keeps what the maps of the missing neighbours score; "valid" leaves it out. A term of the
            paper's sum is then 0, also both terms of the first and the last frame under `frame_all`.
        dropout: probability of dropping an attention weight.
        frame_all: attend to the patches of all frames instead of those of the same frame.
    """
    scale = query[0].shape[-1] ** -0.5

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shape = *q.shape[:-1], v.shape[-1]
        if frame_all:
            q, k, v = (
                rearrange(x, "batch frames patches dim -> batch (frames patches) dim")
                for x in (q, k, v)
            )
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scale).reshape(
            shape
        )

    if variant == "paper":
        if end_frames == "valid":
            query, key = _without_missing(query), _without_missing(key)
        # The sum of two products is the product of the concatenations: one attention, one softmax.
        return attend(torch.cat(query, dim=-1), torch.cat(key, dim=-1), values)
    if end_frames == "zero":
        return (attend(query[0], key[0], values) + attend(query[1], key[1], values)) / 2
    backward = attend(query[0][:, :-1], key[0][:, :-1], values[:, :-1])
    forward = attend(query[1][:, 1:], key[1][:, 1:], values[:, 1:])
    both = (backward[:, 1:] + forward[:, :-1]) / 2
    return torch.cat([backward[:, :1], both, forward[:, -1:]], dim=1)


def motion_guided_weights(
    query: MotionPair,
    key: tuple[KeyMap, KeyMap],
    *,
    variant: str,
    end_frames: str,
    frame_all: bool = False,
) -> Float[Tensor, "batch frames patches keys"]:
    """The weights that `motion_guided_attention` gives to the values, for people to look at; arguments as there.

    Returns:
        For every patch of a frame its weights, which sum to 1. keys: the patches of the same frame side by side, under
        `frame_all` those of all frames, frame by frame.
    """
    batch, frames, patches, _ = key[0].shape
    keys = frames * patches if frame_all else patches
    # Attention is linear in its values: values that are the unit vectors of the keys give the weights themselves.
    one = torch.eye(keys, dtype=key[0].dtype, device=key[0].device)
    values = one.unflatten(0, (frames, patches)) if frame_all else one.expand(frames, -1, -1)
    options = dict(variant=variant, end_frames=end_frames, dropout=0.0, frame_all=frame_all)
    return motion_guided_attention(query, key, values.expand(batch, -1, -1, -1), **options)


def _without_missing(pair: MotionPair) -> MotionPair:
    """Zero again what positions or a normalisation's bias wrote over the missing maps: their terms of a score are 0."""
    backward, forward = pair
    return F.pad(backward[:, :-1], (0, 0, 0, 0, 0, 1)), F.pad(forward[:, 1:], (0, 0, 0, 0, 1, 0))


def _conv3x3(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
    )
