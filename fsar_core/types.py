"""Axis glossary, and the shapes that pass between packages.

The only spellings of axes, here and in every einops pattern:

    batch     episodes processed together          frames   time steps of a clip (8 in the papers, "L" or "T")
    way       classes of an episode ("N")          dim      feature channels of a cut ("D")
    shot      support clips of a class ("K")       height   rows of a feature grid ("H")
    query     query clips of an episode ("Q")      width    columns of a feature grid ("W")
    channels  color or bottleneck channels        patches  height * width
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


@dataclass
class HeadOutput:
    """What a head returns.

    Attributes:
        support: [batch way shot frames dim height width], the features that the metric compares.
            A head with `global_tokens = n` puts n entries for the whole clip before the frames,
            on the same axis.
        query: [batch query frames dim height width]
        losses: auxiliary losses, each a scalar that the training loop adds with weight 1.
    """

    support: Tensor
    query: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)
