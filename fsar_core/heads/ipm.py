"""IPM: image features plus instance embeddings, for any metric; I2ST without its attention.

Source: Qian et al., "Joint Image-Instance Spatial-Temporal Attention for Few-shot Action
Recognition" (I2ST): Eq. 1-3, "OTAM+IPM" of Table 4 and "Instance Perception" without a branch of
Table 3:

    F + IPE(F), and λ · mean (IPD(IPE(F)) - mask)² in training

The text does not say how the embeddings enter the other method. They are added, as in Eq. 4, the
paper's one formula that joins the two: nothing else is learned then, and the metric gets features
of the same size as before.

What the text leaves open in encoder, decoder and loss is listed in
`fsar_core/layers/instance_perception.py`. λ is not given; `mask_weight`.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fsar_core.components.head import Head, check_episode
from fsar_core.components.parameters import NonNegative, PositiveInt
from fsar_core.layers.instance_perception import (
    InstancePerceptionDecoder,
    InstancePerceptionEncoder,
    mask_loss,
)
from fsar_core.types import GridQuery, GridSupport, HeadOutput


class IPM(Head):
    """Add instance embeddings to the features.

    Args:
        dim: channels of the features.
        r: divides `dim`; channels inside the encoder are dim / r.
        mask_weight: λ of Eq. 7, at least 0; 0 leaves the loss out.

    Raises:
        FsarError: a value outside these.
    """

    inputs: ClassVar = {"instance_masks": {"mask_weight": True}}
    predicts_masks = True

    def __init__(
        self, dim: PositiveInt, r: PositiveInt = 8, mask_weight: NonNegative = 0.1
    ) -> None:
        super().__init__()
        self.dim = dim
        self.mask_weight = mask_weight
        self.encoder = InstancePerceptionEncoder(dim, r, owner=self.name)
        self.decoder = InstancePerceptionDecoder(dim, r, owner=self.name)

    def encode(self, clips: Float[Tensor, "*batch frames dim height width"]) -> Tensor:
        """Add the instance embeddings to the features."""
        return clips + self.encoder(clips)

    def forward(
        self,
        support: GridSupport,
        query: GridQuery,
        support_masks: Float[Tensor, "batch way shot frames mask_height mask_width"] | None = None,
        query_masks: Float[Tensor, "batch query frames mask_height mask_width"] | None = None,
        **aux: Tensor,
    ) -> HeadOutput:
        """Add the instance embeddings; in training with the loss of their masks.

        Args:
            support: [batch way shot frames dim height width]
            query: [batch query frames dim height width]
            support_masks: where the acting instances of the support are, 0..1; used in training
                only.
            query_masks: the same of the queries. Each may be missing.
            aux: ignored.

        Returns:
            Features of the same shape and, in training with masks, the loss `mask`.

        Raises:
            FsarError: another number of axes or channels than the head was built for, or masks of
                another episode's shape.
        """
        check_episode(self, support, query, dim=self.dim)
        support_instances = self.encoder(support)
        query_instances = self.encoder(query)
        sides = [(support_instances, support_masks), (query_instances, query_masks)]
        pairs = [(instances, masks) for instances, masks in sides if masks is not None]
        losses = {}
        if self.training and self.mask_weight and pairs:
            losses["mask"] = self.mask_weight * mask_loss(self.decoder, pairs, owner=self.name)
        return HeadOutput(support + support_instances, query + query_instances, losses)
