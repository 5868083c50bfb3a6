"""DMGAL: motion decides what attends to what, first inside each video (S-MGA), then across the whole episode (C-MGA).

Source: Guo et al., "Video-to-Task Learning via Motion-Guided Attention for Few-Shot Action Recognition": Eq. 1-7 S-MGA,
Eq. 8-9 mixer, Eq. 10-14 C-MGA, Fig. 2; Table VII (parameters of C-MGA), Table VIII (frame-wise against frame-all).

The text and the authors' code differ. `variant="paper"` is the text, `variant="released"` the code:

    Eq. 1, sign              paper F_i - Φ2(F_j); released Φ2(F_j) - F_i.
    Eq. 2-3, branch (c)      paper bilinear upsampling; released nearest.
    Eq. 6 and 12, softmax    paper one, of the sum of both score matrices; released one of each, their results averaged.

Where they differ and the variant does not decide:

    Eq. 1-3, M(F_{i+1}, F_i) The text reads it at frame i. Here it lies at frame i+1, as in the code: every frame but
                             the first has one, while the text's index leaves the last frame with no motion at all.
    Eq. 2-3, Conv            "Channel-wise" in the text; a dense 1x1 here, as in the code and in Table VII's counts.
    Φ3, Eq. 7 and 13         3x1x1 over the frames in the text, 3x3 over the grid in the code: the argument `phi3`.
    Eq. 8-9                  The text's index marks are swapped: W1, W2 are LxL and mix frames, W3, W4 are DxD and mix
                             channels. Frames first.

Where the text is silent, both variants do what the code does: a missing neighbour gives a zero motion map (`end_frames`
can leave it out); all motion layers are shared by the two directions and by support and query, none by S-MGA and C-MGA;
BatchNorm after the compression and after each 3x3 branch, no activation; convolutions without bias; in S-MGA sinusoidal
positions over the patches, times 0.1, then dropout; in C-MGA no positions but LayerNorm on both sides of the scores;
dropout on attention weights; every λ starts at 0; the mixer has biases and no normalisation; the values of C-MGA are
Φ3(support); the support gets no cross term; shots are attended to one by one, not averaged; support and query pass one
after the other, so that in training BatchNorm normalises each by its own statistics.

Differs: `phi3` defaults to 3x3 in both variants: Table VII's four counts hold with it and with no 3D kernel.
Differs: grid, frames and shot are free; the code holds 49 patches and 8 frames.
Differs: the support is attended to where it lies, by all queries at once; the code copies it once per query.
Differs: both directions pass BatchNorm together and share their statistics of a training step.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import parse_shape, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.errors import FsarError, one_of
from fsar_core.heads._motion import (
    BidirectionalMotion,
    DepthwiseValues,
    MotionPair,
    motion_guided_attention,
    motion_guided_weights,
)
from fsar_core.heads._positions import sinusoid
from fsar_core.heads._sizes import compressed, whole
from fsar_core.types import GridQuery, GridSupport, HeadOutput

# Read by the registry, so that a mistake in a table or in config.yaml is found before any job.
CHOICES = {
    "s_mga": (True, False),
    "mixer": (True, False, None),
    "c_mga": ("frame_wise", "frame_all", None),
    "variant": ("paper", "released"),
    "phi3": ("3x3", "3x1x1"),
    "end_frames": ("zero", "valid"),
}
# `attention` shows what the attentions of an episode look like.
ATTENTION = True
POSITION_SCALE = 0.1

Videos = Float[Tensor, "*batch frames dim height width"]


class DMGAL(nn.Module):
    """S-MGA, mixer and C-MGA in this order, each of which can be left out.

    Args:
        dim: channels of the features, D.
        r1: compression of S-MGA's motion channels; divides `dim`. None: motion of the features as they are, without
            the 1x1 convolution and its BatchNorm.
        r2: the same of C-MGA.
        frames: frames of a clip, at least 2. The mixer's weights depend on it.
        s_mga: with S-MGA and the mixer that belongs to it, or without both.
        c_mga: "frame_wise" attends to the support patches of the same frame, "frame_all" to those of all frames, None
            leaves C-MGA out.
        variant: "paper" or "released"; the module's docstring lists what differs.
        phi3: kernel of Φ3, depth-wise. "3x3" over the grid is what the code has, and the only reading whose parameter
            counts are those of Table VII. "3x1x1" over the frames is what the text says.
        end_frames: the first frame has no forward and the last no backward motion. "zero": a zero map takes its place;
            its attention is uniform in frame-wise C-MGA (a constant in the paper's sum, so that the other direction
            decides) and follows the positions in S-MGA. "valid": the frame uses the one direction that it has.
        dropout: from 0 to below 1.
        mixer: None goes with `s_mga`, as in the paper; True or False takes the mixer alone, or S-MGA's attention alone, to
            tell apart what each of them adds.

    Raises:
        FsarError: a value outside these.
    """

    def __init__(
        self,
        dim: int,
        r1: int | None = 8,
        r2: int | None = 8,
        frames: int = 8,
        s_mga: bool = True,
        c_mga: str | None = "frame_wise",
        variant: str = "paper",
        phi3: str = "3x3",
        end_frames: str = "zero",
        dropout: float = 0.1,
        mixer: bool | None = None,
    ) -> None:
        super().__init__()
        one_of("dmgal", "s_mga", s_mga, CHOICES["s_mga"])
        one_of("dmgal", "mixer", mixer, CHOICES["mixer"])
        one_of("dmgal", "c_mga", c_mga, CHOICES["c_mga"])
        _check(variant, phi3, end_frames, dropout)
        whole("dmgal", "dim", dim, least=1)
        whole("dmgal", "frames", frames, least=2)
        self.dim, self.frames = dim, frames
        shared = {"variant": variant, "phi3": phi3, "end_frames": end_frames, "dropout": dropout}
        self.self_attention = SelfMotionGuidedAttention(dim, r1, **shared) if s_mga else nn.Identity()
        self.mixer = TemporalChannelMixer(dim, frames) if (s_mga if mixer is None else mixer) else nn.Identity()
        self.cross_attention = CrossMotionGuidedAttention(dim, r2, scope=c_mga, **shared) if c_mga else None

    def forward(self, support: GridSupport, query: GridQuery, **aux: Tensor) -> HeadOutput:
        """
        Args:
            support: [batch way shot frames dim height width]
            query: [batch query frames dim height width]
            aux: ignored.

        Raises:
            FsarError: another number of axes, frames or channels than the head was built for.
        """
        self._check_features("support", support, "batch way shot frames dim height width")
        self._check_features("query", query, "batch query frames dim height width")
        support, query = self._mixed(support), self._mixed(query)
        if self.cross_attention is not None:
            support, query = self.cross_attention(support, query)
        return HeadOutput(support, query)

    @property
    def task_level(self) -> bool:
        return self.cross_attention is not None

    def alone(self, videos: Videos) -> Float[Tensor, "*batch frames channels height width"]:
        """S-MGA, mixer, and C-MGA's motion and values, which see each video alone, one behind the other in the channels."""
        mixed = self._mixed(videos)
        return mixed if self.cross_attention is None else self.cross_attention.prepare(mixed)

    def together(self, support: GridSupport, query: GridQuery) -> HeadOutput:
        """C-MGA's attention, of what `alone` gave."""
        if self.cross_attention is not None:
            support, query = self.cross_attention.join(support, query)
        return HeadOutput(support, query)

    def _mixed(self, videos: Videos) -> Videos:
        # Convolutions and tokens both want the channels innermost: one copy here saves one at every change of view.
        return self.mixer(self.self_attention(_channels_last(videos)))

    def attention(self, support: GridSupport, query: GridQuery, grid: int = 3) -> dict[str, Tensor]:
        """What the attentions of an episode look like, for figures; in evaluation mode. Arguments as in `forward`.

        Args:
            grid: side of the grid to which the motion of `association` is averaged.

        Returns:
            Whatever the head has of
            self_support, self_query: `SelfMotionGuidedAttention.weights`
            association_support, association_query: `SelfMotionGuidedAttention.association`
            cross: `CrossMotionGuidedAttention.weights`
            lambda_self, lambda_cross: the scalars by which the attended values are added to the features
        """
        found: dict[str, Tensor] = {}
        if isinstance(self.self_attention, SelfMotionGuidedAttention):
            for side, videos in (("support", support), ("query", query)):
                found[f"self_{side}"] = self.self_attention.weights(videos)
                found[f"association_{side}"] = self.self_attention.association(videos, grid)
            found["lambda_self"] = self.self_attention.lambda_.detach()
        if self.cross_attention is not None:
            mixed = (self.mixer(self.self_attention(videos)) for videos in (support, query))
            found["cross"] = self.cross_attention.weights(*mixed)
            found["lambda_cross"] = self.cross_attention.lambda_1.detach()
        return found

    def _check_features(self, name: str, features: Tensor, axes: str) -> None:
        if features.ndim != len(axes.split()):
            raise FsarError(f"dmgal: {name} must be [{axes}], got {features.ndim} axes: {list(features.shape)}")
        frames, dim = features.shape[-4:-2]
        if dim != self.dim:
            raise FsarError(f"dmgal: {name} has dim {dim}, the head was built for {self.dim}; use dim={dim}")
        if frames != self.frames:
            raise FsarError(
                f"dmgal: {name} has {frames} frames, the head was built for {self.frames}; use frames={frames}"
            )


class SelfMotionGuidedAttention(nn.Module):
    """S-MGA, Eq. 1-7: the patches of a frame attend to each other by the similarity of their motion.

    F_i + λ · softmax(S_i^B + S_i^F) Φ3(F)_i with S_i = M M^T / √(D/r1), for each video alone. Arguments as in `DMGAL`.
    """

    def __init__(
        self,
        dim: int,
        r1: int | None = 8,
        variant: str = "paper",
        phi3: str = "3x3",
        end_frames: str = "zero",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _check(variant, phi3, end_frames, dropout)
        self.variant, self.end_frames = variant, end_frames
        channels = None if r1 is None else compressed("dmgal", dim, "r1", r1)
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
            attended, "batch frames (height width) dim -> batch frames dim height width", height=videos.shape[-2]
        )
        return (clips + self.lambda_ * attended).unflatten(0, videos.shape[:-4])

    def _placed_motion(self, clips: Float[Tensor, "batch frames dim height width"]) -> MotionPair:
        motion = self.motion(clips)
        positions = POSITION_SCALE * sinusoid(*motion[0].shape[-2:], like=motion[0])
        return tuple(self.dropout(tokens + positions) for tokens in motion)

    def weights(self, videos: Videos) -> Float[Tensor, "*batch frames patches patches"]:
        """Eq. 4-6: how much every patch of a frame (third axis from the last) attends to each of the same frame."""
        motion = self._placed_motion(videos.flatten(0, -5))
        options = dict(variant=self.variant, end_frames=self.end_frames)
        return motion_guided_weights(motion, motion, **options).unflatten(0, videos.shape[:-4])

    def association(self, videos: Videos, grid: int = 3) -> Float[Tensor, "*batch pairs patches patches"]:
        """Fig. 4: the patches of frame i attend to those of frame i + 1 by their motion, for every i but the last.

        The motion maps are averaged to a grid of `grid` x `grid` first; no positions are added, so that what associates
        two patches is their motion alone.
        """
        height = videos.shape[-2]
        motion = []
        for tokens in self.motion(videos.flatten(0, -5)):
            maps = rearrange(
                tokens, "batch frames (height width) channels -> batch frames channels height width", height=height
            )
            pooled = F.adaptive_avg_pool2d(maps.flatten(0, 1), grid).unflatten(0, maps.shape[:2])
            motion.append(
                rearrange(pooled, "batch frames channels height width -> batch frames (height width) channels")
            )
        here, following = tuple(tokens[:, :-1] for tokens in motion), tuple(tokens[:, 1:] for tokens in motion)
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
        scope: str = "frame_wise",
        variant: str = "paper",
        phi3: str = "3x3",
        end_frames: str = "zero",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        one_of("dmgal", "scope", scope, CHOICES["c_mga"][:2])
        _check(variant, phi3, end_frames, dropout)
        self.scope, self.variant, self.end_frames, self.dropout = scope, variant, end_frames, dropout
        channels = None if r2 is None else compressed("dmgal", dim, "r2", r2)
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
        return self._attend(support, query, *(self._side_by_side(self._of_clips(videos), videos) for videos in sides))

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

    def _side_by_side(self, of_clips: tuple[Tensor, Tensor, Tensor], videos: GridQuery) -> tuple[MotionPair, Tensor]:
        """Motion and values, the videos of an episode side by side: [batch frames (videos patches) ...]."""
        tokens = "(batch videos) frames patches channels -> batch frames (videos patches) channels"
        values, backward, forward = (rearrange(rows, tokens, videos=videos.shape[1]) for rows in of_clips)
        return (backward, forward), values


def _videos_of(support: GridSupport) -> GridQuery:
    return rearrange(support, "batch way shot frames dim height width -> batch (way shot) frames dim height width")


def _over_frames(linear: nn.Linear, rows: Tensor) -> Tensor:
    # A batched product: moving the frames to the last axis for `linear` itself takes three times as long.
    return torch.baddbmm(linear.bias[:, None], linear.weight.expand(len(rows), -1, -1), rows)


def _channels_last(features: Tensor) -> Tensor:
    rows = rearrange(features, "... dim height width -> ... height width dim").contiguous()
    return rearrange(rows, "... height width dim -> ... dim height width")


def _check(variant: str, phi3: str, end_frames: str, dropout: float) -> None:
    one_of("dmgal", "variant", variant, CHOICES["variant"])
    one_of("dmgal", "phi3", phi3, CHOICES["phi3"])
    one_of("dmgal", "end_frames", end_frames, CHOICES["end_frames"])
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise FsarError(f"dmgal: dropout={dropout!r} is not valid; valid: numbers from 0 to below 1")
