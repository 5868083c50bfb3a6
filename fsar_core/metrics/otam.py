"""OTAM: negative soft-min cost of aligning the frames of query and support in order, ends free.

Source: Cao et al., "Few-Shot Video Classification via Temporal Alignment", CVPR 2020: ordered temporal alignment and
    its continuous relaxation, in the form of the public re-implementations that papers compare with (the authors' own
    code is not public). Each frame pair costs 1 - cosine; a zero column before the first and after the last support
    frame lets the alignment start and stop anywhere. With D so padded to columns 0..T+1 and
    softmin(x) = -λ log Σ exp(-x/λ),
        cost[0, m] = cost[0, m-1] + D[0, m]                                       (first query frame: no choice)
        cost[l, m] = D[l, m] + softmin(cost[l-1, m-1], cost[l, m-1])              (m = 2..T)
        cost[l, m] = D[l, m] + softmin(cost[l-1, m-1], cost[l-1, m], cost[l, m-1])  (m = 1 and m = T+1)
    The distance is cost[T-1, T+1] of D plus that of D transposed.
Differs: log space throughout, because exp(-cost/λ) underflows in float32 once costs exceed some 9 at λ = 0.1. A middle
    column depends on the column before only, so it is one step for all rows; column T+1 is one logsumexp.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fsar_core.components.parameters import Positive, Shots
from fsar_core.layers.distances import CosineMetric, full_precision


class OTAM(CosineMetric):
    """Ordered temporal alignment. Logits are negative alignment costs; above 0 where many alignments are cheap.

    Args:
        lambda_: temperature of the soft minimum, > 0; public code uses 0.1 and 0.5.
        cosine_eps: added to the product of norms, > 0.
        shots: "distance" averages the clips' distances over a class, "prototype" their features first.
    """

    sums_frames = True

    def __init__(
        self, lambda_: Positive = 0.5, cosine_eps: Positive = 0.01, shots: Shots = "distance"
    ) -> None:
        super().__init__(cosine_eps, shots)
        self.lambda_ = lambda_

    def cost(self, pairs: Float[Tensor, "frames frames ..."]) -> Float[Tensor, ...]:
        return alignment_cost(pairs, self.lambda_) + alignment_cost(
            pairs.transpose(0, 1), self.lambda_
        )


def alignment_cost(
    distances: Float[Tensor, "frames frames ..."], lambda_: float
) -> Float[Tensor, ...]:
    """Soft-min cost of all ordered alignments of rows with columns, one for every trailing index.

    Args:
        distances: rows (first axis) of one clip's frames, columns (second) of the other's, without padding; any finite
            values.
        lambda_: temperature in the unit of the distances, > 0.
    """
    first, *others = (full_precision(distances) / -lambda_).unbind(dim=1)
    # score = -cost / λ. In column 1, rows past the first also come from column 0, whose cost is 0 in this row and in
    # the one above: two free starts.
    starts, twice = [first[0]], first.new_tensor(math.log(2.0))
    for entry in first[1:]:
        starts.append(entry + torch.logaddexp(starts[-1], twice))
    score = torch.stack(starts)
    for column in others:
        score = column + torch.cat([score[:1], torch.logaddexp(score[1:], score[:-1])])
    # Column T+1 costs nothing and is left downwards only: each row's exit counts once by itself and once for the
    # row below, which the last row does not have.
    return -lambda_ * torch.logsumexp(torch.cat([score[:-1] + twice, score[-1:]]), dim=0)
