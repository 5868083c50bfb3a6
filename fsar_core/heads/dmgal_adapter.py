"""DMGAL-Adapter: motion-guided attention as adapters of a frozen vision transformer, C-MGA in the last block.

Source: Guo et al., "Video-to-Task Learning via Motion-Guided Attention for Few-Shot Action Recognition", section III-C,
Eq. 16-17, Fig. 3, Tables IV and VI. There is no public code.

    Smga-Adapter(X) = X + S-MGA(X W_down) W_up     in all blocks but the last, each video alone
    Cmga-Adapter(X) = X + C-MGA(X W_down) W_up     in the last block, on the whole episode

The text fixes: CLIP ViT-B frozen, which adapter in which block, r1 = r2 = 4, "simplified versions" of S-MGA and C-MGA. Where
it is silent, chosen here:

    Simplified               W_down (D' = D / r) takes the place of the 1x1 compression and its BatchNorm: motion is that of
                             the D' channels. Nothing else is left out of Eq. 1-7 and 10-14, their own residuals included.
    Mixer                    None: Eq. 16 names S-MGA alone, and Eq. 7 ends it.
    Φ3                       3x1x1 over the frames, as the text says; unlike for DMGAL's own modules no printed count speaks for
                             3x3. And it is needed: with 3x3 both attentions treat the two directions of time alike, so that
                             an episode played backwards has its features in reverse order and nothing else changes.
    Start                    W_up and the biases of both projections 0 (D²ST-Adapter zeroes its last projection): the model
                             starts as the frozen transformer.
    Activation               None, as in Eq. 15-17.
    Position                 Before the attention, as in ST-Adapter, which the text follows. D²ST-Adapter's place, after the
                             MLP, is `position="after_mlp"`, except in the last block: the class token is all that is read of
                             it, and behind the last attention nothing of what C-MGA does to patches would reach it.
    Class token              It has no place in the grid, so no motion. "bypass": through W_down and W_up but not through the
                             motion-guided attention (D²ST-Adapter takes it past its convolution like this; a linear adapter
                             for what is read in the end). "skip": unchanged, as in ST-Adapter.
    Frame feature            The tail's class token.

Table VI compares three rows. Its first is the same model with ST-Adapters (Eq. 15) in place of both, its second "replac[es]
the ST-Adapter with the Smga-Adapter", its third adds the Cmga-Adapter:

    × ×    smga=False cmga=False     Eq. 15 in every block
    ✓ ×    smga=True  cmga=False     Smga-Adapters in every block, the last too
    ✓ ✓    smga=True  cmga=True      the method
    × ✓    smga=False cmga=True      not in the paper: Eq. 15 in all blocks but the last

so that two rows differ in the operation between W_down and W_up only. The ST-Adapter of Table IV, with its own width, start
and class token, is the head `st_adapter`.

Trained parameters, d = D / r: an adapter has 2 D d + D + d and its operation, Smga 19 d² + 16 d + 1, Cmga 19 d² + 18 d + 2,
Eq. 15 4 d (phi3="3x3": the first two have 6 d more). ViT-B/16: 11 · 999,361 + 999,746 = 11,992,717; Table VI's first row
12 · 296,640 = 3,559,680, its second 12 · 999,361 = 11,992,332.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge
from torch import nn

from fsar_core.components.parameters import PositiveInt, Probability
from fsar_core.layers.adapters import (
    AdaptedViT,
    Adapter,
    OnGrid,
    Sets,
    TemporalConvolution,
    attend,
    feed_forward,
)
from fsar_core.layers.motion_guided_attention import (
    CrossMotionGuidedAttention,
    SelfMotionGuidedAttention,
)
from fsar_core.layers.sizes import divide
from fsar_core.layers.vision_transformer import Block


class DMGALAdapter(AdaptedViT):
    """Smga-Adapters in all blocks behind the cut but the last, a Cmga-Adapter in the last.

    Args:
        tail: of the backbone, as in `AdaptedViT`. The patches of its tokens form a square.
        r1: D / D' of the Smga-Adapters (and of those that stand in for them); divides the width of the tokens.
        r2: the same of the Cmga-Adapter.
        frames: of a clip, at least 2: fewer have no motion.
        smga, cmga: the rows of Table VI; the module's docstring lists them.
        position: "before_attention" or "after_mlp".
        class_token: "bypass" or "skip".
        variant, phi3, end_frames, dropout: of S-MGA and C-MGA, as in `DMGAL`.

    Raises:
        FsarError: a value outside these, or no transformer behind the cut.
    """

    def __init__(
        self,
        tail: nn.Module,
        r1: PositiveInt = 4,
        r2: PositiveInt = 4,
        frames: Annotated[int, Ge(2)] = 8,
        smga: bool = True,
        cmga: bool = True,
        position: Literal["before_attention", "after_mlp"] = "before_attention",
        class_token: Literal["bypass", "skip"] = "bypass",
        variant: Literal["paper", "released"] = "paper",
        phi3: Literal["3x1x1", "3x3"] = "3x1x1",
        end_frames: Literal["zero", "valid"] = "zero",
        dropout: Probability = 0.1,
    ) -> None:
        super().__init__(tail)
        self.position, self.cmga = position, cmga
        early = divide(self.name, self.dim, "r1", r1)
        last = divide(self.name, self.dim, "r2", r2)
        shared = dict(variant=variant, phi3=phi3, end_frames=end_frames, dropout=dropout)

        def of_a_video() -> nn.Module:
            if not smga:
                return TemporalConvolution(early)
            return OnGrid(self.name, SelfMotionGuidedAttention(early, r1=None, **shared))

        parts = [(early, of_a_video()) for _ in range(self.depth - cmga)]
        if cmga:
            of_the_episode = CrossMotionGuidedAttention(last, r2=None, **shared)
            parts.append((last, OnGrid(self.name, of_the_episode, whole_episode=True)))
        self.adapters = nn.ModuleList(Adapter(self.dim, *part, class_token) for part in parts)
        for adapter in self.adapters:
            nn.init.zeros_(adapter.up.weight)

    @property
    def relates_from(self) -> int:
        """The last block with a Cmga-Adapter, else none."""
        return self.depth - self.cmga

    def run(self, place: int, block: Block, sets: Sets) -> Sets:
        first = self.position == "before_attention" or place == self.depth - 1
        if first:
            sets = self.adapters[place](sets)
        sets = tuple(tokens + attend(block, tokens) for tokens in sets)
        sets = tuple(tokens + feed_forward(block, tokens) for tokens in sets)
        return sets if first else self.adapters[place](sets)
