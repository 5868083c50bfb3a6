"""Losses of episodic training."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.types import Labels, Logits


def episodic_cross_entropy(logits: Logits, labels: Labels) -> Float[Tensor, ""]:
    """Return the mean cross-entropy over all queries of all episodes.

    Source: DMGAL, MoLo. TRX sums over queries instead.

    Args:
        logits: [batch query way]
        labels: positions of the right classes, [batch query].
    """
    return nn.functional.cross_entropy(
        rearrange(logits.float(), "batch query way -> (batch query) way"),
        rearrange(labels, "batch query -> (batch query)"),
    )
