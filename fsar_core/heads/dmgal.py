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

from typing import Annotated, Literal

from annotated_types import Ge
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.components.head import Head, check_episode
from fsar_core.components.parameters import PositiveInt, Probability
from fsar_core.layers.motion_guided_attention import (
    CrossMotionGuidedAttention,
    SelfMotionGuidedAttention,
    TemporalChannelMixer,
)
from fsar_core.types import GridQuery, GridSupport, HeadOutput

Videos = Float[Tensor, "*batch frames dim height width"]


class DMGAL(Head):
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

    has_attention = True

    def __init__(
        self,
        dim: PositiveInt,
        r1: PositiveInt | None = 8,
        r2: PositiveInt | None = 8,
        frames: Annotated[int, Ge(2)] = 8,
        s_mga: bool = True,
        c_mga: Literal["frame_wise", "frame_all"] | None = "frame_wise",
        variant: Literal["paper", "released"] = "paper",
        phi3: Literal["3x3", "3x1x1"] = "3x3",
        end_frames: Literal["zero", "valid"] = "zero",
        dropout: Probability = 0.1,
        mixer: bool | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.frames = dim, frames
        shared = {"variant": variant, "phi3": phi3, "end_frames": end_frames, "dropout": dropout}
        self.self_attention = (
            SelfMotionGuidedAttention(dim, r1, **shared) if s_mga else nn.Identity()
        )
        self.mixer = (
            TemporalChannelMixer(dim, frames)
            if (s_mga if mixer is None else mixer)
            else nn.Identity()
        )
        self.cross_attention = (
            CrossMotionGuidedAttention(dim, r2, scope=c_mga, **shared) if c_mga else None
        )

    @property
    def relates(self) -> bool:
        """Whether there is C-MGA, which lets the clips of an episode interact."""
        return self.cross_attention is not None

    def encode(self, clips: Videos) -> Float[Tensor, "*batch frames channels height width"]:
        """Apply S-MGA, the mixer, and the part of C-MGA that sees each clip alone.

        Args:
            clips: [*batch frames dim height width]
        Returns:
            Features, and with C-MGA also its values and motion, side by side in the channels.
        """
        mixed = self._mixed(clips)
        return mixed if self.cross_attention is None else self.cross_attention.prepare(mixed)

    def relate(self, support: GridSupport, query: GridQuery) -> HeadOutput:
        """Apply the attention of C-MGA to encoded clips."""
        if self.cross_attention is not None:
            support, query = self.cross_attention.join(support, query)
        return HeadOutput(support, query)

    def forward(self, support: GridSupport, query: GridQuery, **inputs: Tensor) -> HeadOutput:
        """Transform an episode; the same as `relate` of `encode`, without copies in between.

        Args:
            support: [batch way shot frames dim height width]
            query: [batch query frames dim height width]
            inputs: ignored.

        Raises:
            FsarError: another number of axes, frames or channels than the head was built for.
        """
        check_episode(self, support, query, dim=self.dim, frames=self.frames)
        support, query = self._mixed(support), self._mixed(query)
        if self.cross_attention is not None:
            support, query = self.cross_attention(support, query)
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


def _channels_last(features: Tensor) -> Tensor:
    rows = rearrange(features, "... dim height width -> ... height width dim").contiguous()
    return rearrange(rows, "... height width dim -> ... dim height width")
