"""What the matching metrics share: checks, cosine distances of frames and the metrics made of them, distance to attended
prototypes, positions.

Source: cosine with eps and the two ways of merging shots as in the public code of OTAM, Bi-MHM and MoLo; prototypes
    that a query attends out of a class as in TRX (Perrett et al., CVPR 2021); sinusoidal positions of Vaswani et al.
    (NeurIPS 2017, section 3.5).
Differs: every comparison is made in float32 at least, whatever the features' precision and autocast, because sums of
    squares leave float16's range. All episodes, queries and classes go through one matmul, nothing is repeated.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from fsar_core.components.metric import Metric
from fsar_core.components.parameters import Positive, Shots
from fsar_core.types import FrameQuery, FrameSupport, Logits


def full_precision(features: Tensor) -> Tensor:
    """The same values in float32, or in float64 if that is what they are."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def autocast_off(device: torch.device) -> AbstractContextManager:
    """Autocast would take matmuls of float32 tensors back to half precision. Nothing on devices that have none."""
    available = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if available else nullcontext()


def merge_shots(support: FrameSupport, shots: str) -> FrameSupport:
    """Average the support clips of a class frame by frame if shots is "prototype"; otherwise leave them apart.

    Returns: [batch way 1 frames dim] or the input, so that a mean over the shot axis ends both ways.
    """
    if shots == "distance":
        return support
    return reduce(
        full_precision(support), "batch way shot frames dim -> batch way 1 frames dim", "mean"
    )


def cosine_distances(
    support: FrameSupport, query: FrameQuery, eps: float, norms: tuple[Tensor, Tensor] | None = None
) -> Float[Tensor, "batch query way shot frames frames"]:
    """1 - x.y / (|x||y| + eps) of every query frame (rows) and every support frame (columns) of an episode.

    Range 0..2 (0..1 for non-negative features). eps keeps it defined for zero features: their distance to all is 1.

    Args:
        norms: of the frames of support [batch way shot frames] and query [batch query frames], where they are known.
    """
    _, way, shot, frames, _ = support.shape
    support, query = full_precision(support), full_precision(query)
    of_support, of_query = norms or (support.norm(dim=-1), query.norm(dim=-1))
    columns = rearrange(support, "batch way shot frames dim -> batch dim (way shot frames)")
    rows = rearrange(query, "batch query frames dim -> batch (query frames) dim")
    lengths = rearrange(of_query, "batch query frames -> batch (query frames) 1") * rearrange(
        of_support, "batch way shot frames -> batch 1 (way shot frames)"
    )
    with autocast_off(rows.device):
        distances = 1 - rows @ columns / (lengths + eps)
    # The two frame axes differ in meaning, so the pattern needs two words; the support's goes under "patches".
    return rearrange(
        distances,
        "batch (query frames) (way shot patches) -> batch query way shot frames patches",
        frames=frames,
        way=way,
        shot=shot,
    )


class CosineMetric(Metric):
    """A metric that judges two clips by the cosine distances of their frames.

    Subclasses say in `cost` what they make of these distances.
    """

    def __init__(self, cosine_eps: Positive, shots: Shots) -> None:
        """Store the options.

        Args:
            cosine_eps: added to the product of norms, > 0.
            shots: "distance" averages the clips' costs over a class, "prototype" their features
                first.
        """
        super().__init__()
        self.cosine_eps, self.shots = cosine_eps, shots

    def encode(self, clips: Float[Tensor, "... frames dim"]) -> tuple[Tensor, Tensor]:
        """Return the frames and their norms [... frames]."""
        clips = full_precision(clips)
        return clips, clips.norm(dim=-1)

    def compare(self, support: tuple[Tensor, Tensor], query: tuple[Tensor, Tensor]) -> Logits:
        """Return the negative cost of every query and class."""
        if self.shots == "prototype" and support[0].shape[2] > 1:
            support = self.encode(merge_shots(support[0], self.shots))
        norms = (support[1], query[1])
        pairs = cosine_distances(support[0], query[0], self.cosine_eps, norms=norms)
        # All pairs of clips lie side by side in memory, because `cost` works along them.
        pairs = rearrange(
            pairs, "batch query way shot frames patches -> frames patches batch query way shot"
        )
        costs = self.cost(pairs.contiguous())
        return -reduce(costs, "batch query way shot -> batch query way", "mean")

    @abstractmethod
    def cost(self, pairs: Float[Tensor, "frames frames ..."]) -> Float[Tensor, ...]:
        """Return the cost of each pair of clips.

        Args:
            pairs: distances of query frames (first axis) to support frames (second axis).
        """


def attended_distances(
    query_keys: Float[Tensor, "batch query patches dim"],
    query_values: Float[Tensor, "batch query patches dim"],
    support_keys: Float[Tensor, "batch way shot patches dim"],
    support_values: Float[Tensor, "batch way shot patches dim"],
    scale: float,
) -> Logits:
    """Squared distance of each query to the prototype that its own attention forms from a class.

    patches are the tokens that attend: a frame's patches, or a clip's tuples of frames. Every query token attends to
    all tokens of all shots of one class (softmax of scale * q.k over them, jointly over shots), separately per class.

    Returns: sum over tokens and channels of (query value - attended support values)^2, >= 0.
    """
    query, way = query_keys.shape[1], support_keys.shape[1]
    query_keys, query_values = full_precision(query_keys), full_precision(query_values)
    support_keys, support_values = full_precision(support_keys), full_precision(support_values)
    with autocast_off(query_keys.device):
        rows = rearrange(query_keys, "batch query patches dim -> batch (query patches) dim")
        columns = rearrange(
            support_keys, "batch way shot patches dim -> batch dim (way shot patches)"
        )
        # From here "query" counts the tokens of all queries and "shot" the tokens of all shots of a class.
        scores = rearrange(
            scale * (rows @ columns), "batch query (way shot) -> batch way query shot", way=way
        )
        values = rearrange(
            support_values, "batch way shot patches dim -> batch way (shot patches) dim"
        )
        prototypes = scores.softmax(dim=-1) @ values
    difference = (
        rearrange(query_values, "batch query patches dim -> batch 1 (query patches) dim")
        - prototypes
    )
    return reduce(
        difference.square(), "batch way (query patches) dim -> batch query way", "sum", query=query
    )
