"""Prototype: each clip is its mean frame, each class its mean clip; the baseline that no order of frames can move.

Source: Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017, Eq. 1-2, on frame-averaged features.
Differs: cosine (with eps, as the other metrics here) by default, since cached features carry no learned scale.
"""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from torch import nn

from fsar_core.matching._distances import (
    check_choice,
    check_features,
    check_number,
    cosine_distances,
    full_precision,
)
from fsar_core.types import FrameQuery, FrameSupport, Logits


class Prototype(nn.Module):
    """Nearest class mean.

    Args:
        similarity: "cosine", or "euclidean" for the negative squared Euclidean distance.
        cosine_eps: added to the product of norms, > 0; without effect on "euclidean".
    """

    spatial = False

    def __init__(self, similarity: str = "cosine", cosine_eps: float = 0.01) -> None:
        super().__init__()
        check_choice("prototype: similarity", similarity, ("cosine", "euclidean"))
        check_number("prototype: cosine_eps", cosine_eps)
        self.similarity, self.cosine_eps = similarity, cosine_eps

    def forward(self, support: FrameSupport, query: FrameQuery) -> Logits:
        """Logits in -1..1 (cosine) or <= 0 (euclidean). FsarError if shapes disagree."""
        check_features("prototype", support, query)
        support = reduce(full_precision(support), "batch way shot frames dim -> batch way 1 1 dim", "mean")
        query = reduce(full_precision(query), "batch query frames dim -> batch query 1 dim", "mean")
        if self.similarity == "cosine":
            pairs = cosine_distances(support, query, self.cosine_eps)
            return 1 - rearrange(pairs, "batch query way 1 1 1 -> batch query way")
        clips = rearrange(query, "batch query 1 dim -> batch query dim")
        classes = rearrange(support, "batch way 1 1 dim -> batch way dim")
        # |x|² - 2xy + |y|² would lose close pairs to cancellation.
        return -torch.cdist(clips, classes, compute_mode="donot_use_mm_for_euclid_dist").square()
