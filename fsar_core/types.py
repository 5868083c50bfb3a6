"""Axis glossary and the shapes that pass between the rooms.

The only spellings of axes, here and in every einops pattern:

    batch     episodes processed together          frames   time steps of a clip (8 in the papers, "L" or "T")
    way       classes of an episode ("N")          dim      feature channels of a cut ("D")
    shot      support clips of a class ("K")       height   rows of a feature grid ("H")
    query     query clips of an episode ("Q")      width    columns of a feature grid ("W")
    channels  colour or bottleneck channels        patches  height * width
    heads     attention heads                      classes  classes of a split

Features of a head: support [batch way shot frames dim height width], query [batch query frames dim height width].
Features of a matching metric: the same without height and width, unless the metric is spatial.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float, Int64
from torch import Tensor

GridSupport = Float[Tensor, "batch way shot frames dim height width"]
GridQuery = Float[Tensor, "batch query frames dim height width"]
FrameSupport = Float[Tensor, "batch way shot frames dim"]
FrameQuery = Float[Tensor, "batch query frames dim"]
Logits = Float[Tensor, "batch query way"]
Labels = Int64[Tensor, "batch query"]


# What a head does to a video does mostly not depend on the rest of the episode. Heads that know it have
#   alone(videos [*batch frames dim height width])   that part, in evaluation mode, for any leading axes, and
#   task_level: bool                                  whether the episode still has a part in it; then
#   together(support, query) -> HeadOutput            does the rest, from what `alone` gave,
# so that a test encodes every clip once and not in every episode: head(support, query) is together(alone(..), alone(..)).
#
# Matching metrics that do a part of their work for every clip by itself have
#   alone(clips [... frames dim]) -> tuple of tensors [...]   that part, for any leading axes, and
#   together(support, query) -> Logits                         the rest, of two such tuples.


@dataclass
class HeadOutput:
    """What a head returns.

    Attributes:
        support: [batch way shot frames dim height width], the features that the metric compares.
            A head whose module sets GLOBAL_TOKENS = n puts n entries for the whole clip before the frames, on the same axis.
        query: [batch query frames dim height width]
        losses: auxiliary losses, each a scalar that the training loop adds with weight 1.
    """

    support: Tensor
    query: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)
