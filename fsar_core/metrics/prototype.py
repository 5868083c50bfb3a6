"""Prototype: each clip is its mean frame, each class its mean clip; the baseline that no order of frames can move.

Source: Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017, Eq. 1-2, on frame-averaged features.
Differs: cosine (with eps, as the other metrics here) by default, since cached features carry no learned scale.
"""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange, reduce

from fsar_core.components.metric import Metric
from fsar_core.components.parameters import Positive
from fsar_core.layers.distances import cosine_distances, full_precision
from fsar_core.types import FrameQuery, FrameSupport, Logits


class Prototype(Metric):
    """Nearest class mean. Logits in -1..1 (cosine) or at most 0 (euclidean).

    Args:
        similarity: "cosine", or "euclidean" for the negative squared Euclidean distance.
        cosine_eps: added to the product of norms, > 0; without effect on "euclidean".
    """

    def __init__(
        self,
        similarity: Literal["cosine", "euclidean"] = "cosine",
        cosine_eps: Positive = 0.01,
    ) -> None:
        super().__init__()
        self.similarity, self.cosine_eps = similarity, cosine_eps

    def compare(self, support: tuple[FrameSupport], query: tuple[FrameQuery]) -> Logits:
        """Compare the mean frame of each query with the mean frame of each class."""
        mean_of_class = "batch way shot frames dim -> batch way dim"
        classes = reduce(full_precision(support[0]), mean_of_class, "mean")
        clips = reduce(
            full_precision(query[0]), "batch query frames dim -> batch query dim", "mean"
        )
        if self.similarity == "cosine":
            pairs = cosine_distances(
                rearrange(classes, "batch way dim -> batch way 1 1 dim"),
                rearrange(clips, "batch query dim -> batch query 1 dim"),
                self.cosine_eps,
            )
            return 1 - rearrange(pairs, "batch query way 1 1 1 -> batch query way")
        # |x|² - 2xy + |y|² would lose close pairs to cancellation.
        exact = "donot_use_mm_for_euclid_dist"
        return -torch.cdist(clips, classes, compute_mode=exact).square()
