"""S-MGA, C-MGA and the mixer of DMGAL, which its head and its adapters share.

Source: Guo et al., "Video-to-Task Learning via Motion-Guided Attention" (DMGAL), Eq. 1-14. What `variant`,
`phi3` and `end_frames` select, and what the text leaves open, is listed in `fsar_core/heads/dmgal.py`.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import parse_shape, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.layers.motion import (
    BidirectionalMotion,
    DepthwiseValues,
    MotionPair,
    motion_guided_attention,
    motion_guided_weights,
)
from fsar_core.layers.positions import TRX_POSITION_SCALE, sinusoid
from fsar_core.layers.sizes import divide
from fsar_core.types import GridQuery, GridSupport

Variant = Literal["paper", "released"]
Kernel = Literal["3x3", "3x1x1"]
EndFrames = Literal["zero", "valid"]
Videos = Float[Tensor, "*batch frames dim height width"]


class SelfMotionGuidedAttention(nn.Module):
    """S-MGA, Eq. 1-7: the patches of a frame attend to each other by the similarity of their motion.

    F_i + λ · softmax(S_i^B + S_i^F) Φ3(F)_i with S_i = M M^T / √(D/r1), for each video alone. Arguments as in `DMGAL`.
    """

    def __init__(
        self,
        dim: int,
        r1: int | None = 8,
        variant: Variant = "paper",
        phi3: Kernel = "3x3",
        end_frames: EndFrames = "zero",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.variant, self.end_frames = variant, end_frames
        channels = None if r1 is None else divide("dmgal", dim, "r1", r1)
        self.motion = BidirectionalMotion(dim, channels, variant)
        self.phi3 = DepthwiseValues(dim, phi3)
        self.lambda_ = nn.Parameter(torch.zeros(()))
        self.dropout = nn.Dropout(dropout)

    def forward(self, videos: Videos) -> Videos:
        """Videos in, videos out, [*batch frames dim height width] with any leading axes."""
        clips = videos.flatten(0, -5)
        motion = self._placed_motion(clips)
        attended = motion_guided_attention(
            motion,
            motion,
            self.phi3(clips),
            variant=self.variant,
            end_frames=self.end_frames,
            dropout=self.dropout.p if self.training else 0.0,
        )
        attended = rearrange(
            attended,
            "batch frames (height width) dim -> batch frames dim height width",
            height=videos.shape[-2],
        )
        return (clips + self.lambda_ * attended).unflatten(0, videos.shape[:-4])

    def _placed_motion(self, clips: Float[Tensor, "batch frames dim height width"]) -> MotionPair:
        motion = self.motion(clips)
        positions = TRX_POSITION_SCALE * sinusoid(*motion[0].shape[-2:], like=motion[0])
        return tuple(self.dropout(tokens + positions) for tokens in motion)

    def weights(self, videos: Videos) -> Float[Tensor, "*batch frames patches patches"]:
        """Eq. 4-6: how much every patch of a frame (third axis from the last) attends to each of the same frame."""
        motion = self._placed_motion(videos.flatten(0, -5))
        options = dict(variant=self.variant, end_frames=self.end_frames)
        return motion_guided_weights(motion, motion, **options).unflatten(0, videos.shape[:-4])

    def association(
        self, videos: Videos, grid: int = 3
    ) -> Float[Tensor, "*batch pairs patches patches"]:
        """Fig. 4: the patches of frame i attend to those of frame i + 1 by their motion, for every i but the last.

        The motion maps are averaged to a grid of `grid` x `grid` first; no positions are added, so that what associates
        two patches is their motion alone.
        """
        height = videos.shape[-2]
        motion = []
        for tokens in self.motion(videos.flatten(0, -5)):
            maps = rearrange(
                tokens,
                "batch frames (height width) channels -> batch frames channels height width",
                height=height,
            )
            pooled = F.adaptive_avg_pool2d(maps.flatten(0, 1), grid).unflatten(0, maps.shape[:2])
            motion.append(
                rearrange(
                    pooled,
                    "batch frames channels height width -> batch frames (height width) channels",
                )
            )
        here, following = (
            tuple(tokens[:, :-1] for tokens in motion),
            tuple(tokens[:, 1:] for tokens in motion),
        )
        weights = motion_guided_weights(here, following, variant=self.variant, end_frames="zero")
        return weights.unflatten(0, videos.shape[:-4])


class TemporalChannelMixer(nn.Module):
    """Eq. 8-9: an MLP over the frames of each patch and channel, then one over its channels, each with a residual."""

    def __init__(self, dim: int, frames: int = 8) -> None:
        super().__init__()
        self.temporal_in, self.temporal_out = nn.Linear(frames, frames), nn.Linear(frames, frames)
        self.channel_in, self.channel_out = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, videos: Videos) -> Videos:
        """Videos in, videos out, [*batch frames dim height width] with any leading axes."""
        rows = rearrange(videos, "... frames dim height width -> (...) frames (height width dim)")
        rows = rows + _over_frames(self.temporal_out, _over_frames(self.temporal_in, rows).relu())
        *lead, _, dim, height, width = videos.shape
        tokens = rows.unflatten(2, (height, width, dim))
        tokens = tokens + self.channel_out(self.channel_in(tokens).relu())
        return rearrange(tokens, "... height width dim -> ... dim height width").unflatten(0, lead)


class CrossMotionGuidedAttention(nn.Module):
    """C-MGA, Eq. 10-14: the patches of a query attend to those of all supports by the similarity of their motion.

    Query F_i + λ1 · softmax(C_i^B + C_i^F) Φ3(F_S)_i + λ2 · Φ3(F)_i, support F_i + λ2 · Φ3(F)_i. `scope` is `c_mga` of
    `DMGAL`, the other arguments are as there.
    """

    def __init__(
        self,
        dim: int,
        r2: int | None = 8,
        scope: Literal["frame_wise", "frame_all"] = "frame_wise",
        variant: Variant = "paper",
        phi3: Kernel = "3x3",
        end_frames: EndFrames = "zero",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.scope, self.variant, self.end_frames, self.dropout = (
            scope,
            variant,
            end_frames,
            dropout,
        )
        channels = None if r2 is None else divide("dmgal", dim, "r2", r2)
        self.motion = BidirectionalMotion(dim, channels, variant)
        self.norm = nn.LayerNorm(self.motion.channels)
        self.phi3 = DepthwiseValues(dim, phi3)
        self.lambda_1 = nn.Parameter(torch.zeros(()))
        self.lambda_2 = nn.Parameter(torch.zeros(()))

    def forward(self, support: GridSupport, query: GridQuery) -> tuple[GridSupport, GridQuery]:
        """
        Args:
            support: [batch way shot frames dim height width]
            query: [batch query frames dim height width]
        """
        sides = (_videos_of(support), query)
        return self._attend(
            support,
            query,
            *(self._side_by_side(self._of_clips(videos), videos) for videos in sides),
        )

    def prepare(self, videos: Videos) -> Float[Tensor, "*batch frames channels height width"]:
        """What the attention needs of every video by itself: its features, Φ3 of them, and its normalised motion backward and
        forward, one behind the other in the channels. A copy: worth it where a video is in many episodes."""
        grid = "clips frames (height width) channels -> clips frames channels height width"
        maps = [rearrange(rows, grid, height=videos.shape[-2]) for rows in self._of_clips(videos)]
        return torch.cat([videos.flatten(0, -5), *maps], dim=2).unflatten(0, videos.shape[:-4])

    def join(self, support: Tensor, query: Tensor) -> tuple[GridSupport, GridQuery]:
        """`forward` of what `prepare` gave of the same videos; axes as there."""
        found = []
        for prepared in (support, query):
            dim, channels = self.phi3.conv.out_channels, self.motion.channels
            features, *maps = prepared.split([dim, dim, channels, channels], dim=-3)
            tokens = "batch videos frames channels height width -> batch frames (videos height width) channels"
            values, *motion = (rearrange(part.flatten(1, -5), tokens) for part in maps)
            found.append((features, (tuple(motion), values)))
        (support, of_support), (query, of_query) = found
        return self._attend(support, query, of_support, of_query)

    def _attend(
        self,
        support: GridSupport,
        query: GridQuery,
        of_support: tuple[MotionPair, Tensor],
        of_query: tuple[MotionPair, Tensor],
    ) -> tuple[GridSupport, GridQuery]:
        (support_motion, support_values), (query_motion, query_values) = of_support, of_query
        attended = motion_guided_attention(
            query_motion,
            support_motion,
            support_values,
            variant=self.variant,
            end_frames=self.end_frames,
            dropout=self.dropout if self.training else 0.0,
            frame_all=self.scope == "frame_all",
        )
        support_change = rearrange(
            self.lambda_2 * support_values,
            "batch frames (way shot height width) dim -> batch way shot frames dim height width",
            **parse_shape(support, "_ way shot _ _ height width"),
        )
        query_change = rearrange(
            self.lambda_1 * attended + self.lambda_2 * query_values,
            "batch frames (query height width) dim -> batch query frames dim height width",
            **parse_shape(query, "_ query _ _ height width"),
        )
        return support + support_change, query + query_change

    def weights(
        self, support: GridSupport, query: GridQuery
    ) -> Float[Tensor, "batch query frames patches key_frames way shot key_patches"]:
        """Eq. 10-12: how much every patch of a query's frame attends to the patches of all supports.

        key_frames is 1, the same frame, or under "frame_all" the number of frames.
        """
        sides = (_videos_of(support), query)
        keys, queries = (self._side_by_side(self._of_clips(videos), videos)[0] for videos in sides)
        every = self.scope == "frame_all"
        options = dict(variant=self.variant, end_frames=self.end_frames, frame_all=every)
        return rearrange(
            motion_guided_weights(queries, keys, **options),
            "batch frames (query patches) (key_frames way shot key_patches)"
            " -> batch query frames patches key_frames way shot key_patches",
            query=query.shape[1],
            key_frames=query.shape[2] if every else 1,
            **parse_shape(support, "_ way shot _ _ _ _"),
        )

    def _of_clips(self, videos: Videos) -> tuple[Tensor, Tensor, Tensor]:
        """Values and normalised motion, backward and forward, of every video by itself: [clips frames patches ...]."""
        clips = videos.flatten(0, -5)
        return self.phi3(clips), *(self.norm(tokens) for tokens in self.motion(clips))

    def _side_by_side(
        self, of_clips: tuple[Tensor, Tensor, Tensor], videos: GridQuery
    ) -> tuple[MotionPair, Tensor]:
        """Motion and values, the videos of an episode side by side: [batch frames (videos patches) ...]."""
        tokens = "(batch videos) frames patches channels -> batch frames (videos patches) channels"
        values, backward, forward = (
            rearrange(rows, tokens, videos=videos.shape[1]) for rows in of_clips
        )
        return (backward, forward), values


def _videos_of(support: GridSupport) -> GridQuery:
    return rearrange(
        support,
        "batch way shot frames dim height width -> batch (way shot) frames dim height width",
    )


def _over_frames(linear: nn.Linear, rows: Tensor) -> Tensor:
    # A batched product: moving the frames to the last axis for `linear` itself takes three times as long.
    return torch.baddbmm(linear.bias[:, None], linear.weight.expand(len(rows), -1, -1), rows)
