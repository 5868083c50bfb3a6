"""Losses of episodic training."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.types import Labels, Logits


def episodic_cross_entropy(logits: Logits, labels: Labels) -> Float[Tensor, ""]:
    """Mean cross-entropy over all queries of all episodes (DMGAL, MoLo; TRX sums over queries instead)."""
    return nn.functional.cross_entropy(
        rearrange(logits.float(), "batch query way -> (batch query) way"),
        rearrange(labels, "batch query -> (batch query)"),
    )
