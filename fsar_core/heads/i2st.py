"""I2ST: images and perceived instances attend over space and time; a global token joins the frames.

Source: Qian et al., "Joint Image-Instance Spatial-Temporal Attention for Few-shot Action
Recognition": Eq. 1-3 instance perception (`layers/instance_perception.py`), Eq. 4 spatial and
temporal attention and Eq. 5 global fusion (`layers/joint_attention.py`), Eq. 6 matching (the metric
`global_local`), Eq. 7 loss, section 4.1.2 auxiliary contrastive loss; Table 3 (parts), Table 4
(self against cross fusion), Table 8 (parameters). No code is public. For each video alone:

    f_ins = IPE(f_img)
    f_i   = FFN(MHA(f_img) + MHA(f_ins))             i = S: tokens are a frame's patches,
                                                     i = T: a patch's frames
    f_i   = FFN(MHA(query=f_ins, key=value=f_img))   the same with `fusion="cross"`
    f_ST  = mean over patches of f_S + mean over patches of f_T
    out   = MHA([token, f_ST] + positions)           1 + frames entries, the token first

Left open by the text and taken from its lineage (MoLo and HyRSM, whose baseline numbers it shares)
or from Table 8:

    MHA          output of an attention of `heads` heads on LayerNorm'd tokens, plus its input
                 (`residual=False`: without it, as Eq. 4 and 5 are printed). Queries, keys and
                 values have no bias, the output has one; dropout follows it. No two MHA share
                 weights. With "cross" the input is f_ins, and one LayerNorm serves both sides.
    FFN          x + W2 GELU(W1 x), hidden width dim, with biases, no LayerNorm, dropout after both.
    positions    only in Eq. 5: learned, or sinusoidal.
    contrastive  MoLo's: the frames of one side against the global token of the other, both ways.
                 Distance of a query and a class: Σ over frames of 1 - cosine; cross-entropy over
                 the classes of the episode; both ways added.
    class        MoLo's: a linear layer on the mean of the 1 + frames entries predicts the training
                 class of every clip.
    λ and the weights of the two other losses are not in the paper. MoLo has 0.05 (contrastive) and,
    by dataset, 0.1 to 0.8 (class) and 0.05 to 0.1 (a reconstruction); the defaults here are its
    smallest, or its largest for λ.

Parameters in Table 8 (130.2 M, one branch 88.5 M): its entries for HyRSM and MoLo only come out
with all that is trained and 64 training classes. So counted (`dim` 2048, width 256, `classes` 64),
I2ST has 106,857,729, one branch 64,898,305; with ResNet-50's 23,508,032 these are 130.37 M and
88.41 M, both 0.1 % off. No decomposition gives both printed numbers, because a branch of two such
MHA and an FFN is 41.96 M and their difference is 41.7 M. In parts:

    encoder 5,835,264 · decoder 168,641 (counted, though not used at test) · a branch 41,959,424, of
    which MHA 16,783,360 twice and FFN 8,392,704 · global fusion 16,803,840 (MHA, token,
    9 positions, no FFN) · class layer 131,136

A frame of 7x7 patches costs 8.88 GFLOP at test, two per multiplication with its addition; with the
8.2 G that the table prints for ResNet-50 these are its 17.1 G. One branch costs 4.73 or 4.76:
13.0 G where 13.4 G are printed.

Differs: the paper averages prototypes of a class in the metric, and so do the contrastive loss and
    `global_local` here; the head itself leaves shots apart.
Differs: any grid, way and shot; any number of frames with sinusoidal positions.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fsar_core.components.head import Head, check_episode
from fsar_core.components.parameters import NonNegative, PositiveInt, Probability
from fsar_core.errors import FsarError
from fsar_core.layers.distances import cosine_distances, merge_shots
from fsar_core.layers.instance_perception import (
    InstancePerceptionDecoder,
    InstancePerceptionEncoder,
    mask_loss,
)
from fsar_core.layers.joint_attention import GlobalFusion, SpatialTemporalAttention
from fsar_core.layers.sizes import divide
from fsar_core.types import GridQuery, GridSupport, HeadOutput, Labels


class I2ST(Head):
    """Instance perception, spatial and temporal attention, global fusion.

    Args:
        dim: channels of the features, C.
        frames: frames of a clip. Learned positions depend on it.
        spatial: with the spatial branch of Eq. 4.
        temporal: with the temporal branch; at least one of both.
        instance: with instance perception. Without, there is no f_ins: the branches are
            FFN(MHA(f_img)), whatever `fusion`.
        fusion: "self" or "cross" attention in both branches (Table 4).
        heads: attention heads.
        width: channels of a head, 256 in the lineage. None: dim / heads, the same at dim 2048 and
            8 heads.
        r: divides `dim`; channels inside the encoder are dim / r.
        residual: whether the MHA of Eq. 4 and 5 add their input.
        positions: "learned" or "sinusoid", of the 1 + frames entries of Eq. 5.
        classes: number of training classes for the loss `class`; None leaves its layer and the
            loss out.
        mask_weight: λ of Eq. 7, at least 0; 0 leaves the loss out, here and below.
        contrastive_weight: of the loss `contrastive`.
        class_weight: of the loss `class`.
        dropout: behind every MHA, from 0 to below 1.
        ffn_dropout: in every FFN.

    Raises:
        FsarError: a value outside these.
    """

    inputs: ClassVar = {
        "class_ids": {},
        "instance_masks": {"instance": True, "mask_weight": True},
    }
    global_tokens = 1
    predicts_masks = True

    def __init__(
        self,
        dim: PositiveInt,
        frames: PositiveInt = 8,
        spatial: bool = True,
        temporal: bool = True,
        instance: bool = True,
        fusion: Literal["self", "cross"] = "self",
        heads: PositiveInt = 8,
        width: PositiveInt | None = None,
        r: PositiveInt = 8,
        residual: bool = True,
        positions: Literal["learned", "sinusoid"] = "learned",
        classes: PositiveInt | None = None,
        mask_weight: NonNegative = 0.1,
        contrastive_weight: NonNegative = 0.05,
        class_weight: NonNegative = 0.1,
        dropout: Probability = 0.2,
        ffn_dropout: Probability = 0.05,
    ) -> None:
        super().__init__()
        if not spatial and not temporal:
            raise FsarError(
                "i2st: spatial=False with temporal=False leaves no branch; set one of them, "
                "or take the head ipm for instance perception alone"
            )
        divide(self.name, dim, "r", r)  # also if no encoder is built
        self.dim = dim
        self.frames = frames
        self.mask_weight = mask_weight
        self.contrastive_weight = contrastive_weight
        self.class_weight = class_weight
        self.encoder = InstancePerceptionEncoder(dim, r, owner=self.name) if instance else None
        self.decoder = InstancePerceptionDecoder(dim, r, owner=self.name) if instance else None
        mha = {"heads": heads, "width": width, "residual": residual, "dropout": dropout}
        self.attention = SpatialTemporalAttention(
            dim,
            spatial,
            temporal,
            instance=instance,
            fusion=fusion,
            ffn_dropout=ffn_dropout,
            owner=self.name,
            **mha,
        )
        self.fusion = GlobalFusion(dim, frames, positions, owner=self.name, **mha)
        self.classifier = nn.Linear(dim, classes) if classes is not None else None

    def encode(self, clips: Float[Tensor, "*batch frames dim height width"]) -> Tensor:
        """Return [*batch 1+frames dim 1 1], the global token first."""
        return self._tokens(clips)[0][..., None, None]

    def forward(
        self,
        support: GridSupport,
        query: GridQuery,
        labels: Labels | None = None,
        support_masks: Float[Tensor, "batch way shot frames mask_height mask_width"] | None = None,
        query_masks: Float[Tensor, "batch query frames mask_height mask_width"] | None = None,
        support_classes: Int64[Tensor, "batch way shot"] | None = None,
        query_classes: Int64[Tensor, "batch query"] | None = None,
        **aux: Tensor,
    ) -> HeadOutput:
        """Encode an episode; in training with the losses for which there is an input.

        All inputs but the features are used in training only, and any of them may be missing.

        Args:
            support: [batch way shot frames dim height width]
            query: [batch query frames dim height width]
            labels: place of the query's class among the episode's, for the loss `contrastive`.
            support_masks: where the acting instances are, 0..1, for the loss `mask`.
            query_masks: likewise.
            support_classes: numbers of the training classes from 0, for the loss `class`.
            query_classes: likewise.
            aux: ignored.

        Returns:
            [batch way shot 1+frames dim 1 1] and [batch query 1+frames dim 1 1], the global token
            first, and the losses multiplied by their weights.

        Raises:
            FsarError: another number of axes, frames or channels than the head was built for, or
                masks of another shape.
        """
        self._check(support, query)
        support_tokens, support_instances = self._tokens(support)
        query_tokens, query_instances = self._tokens(query)
        losses = {}
        if self.training:
            masks = [(support_instances, support_masks), (query_instances, query_masks)]
            classes = [(support_tokens, support_classes), (query_tokens, query_classes)]
            self._add_mask_loss(losses, masks)
            if self.contrastive_weight and labels is not None:
                contrast = contrastive_loss(support_tokens, query_tokens, labels)
                losses["contrastive"] = self.contrastive_weight * contrast
            self._add_class_loss(losses, classes)
        return HeadOutput(support_tokens[..., None, None], query_tokens[..., None, None], losses)

    def _add_mask_loss(
        self, losses: dict[str, Tensor], sides: list[tuple[Tensor | None, Tensor | None]]
    ) -> None:
        """Add the loss `mask` of instance embeddings and their masks, where there are any."""
        pairs = [(instances, masks) for instances, masks in sides if masks is not None]
        if self.decoder is not None and self.mask_weight and pairs:
            losses["mask"] = self.mask_weight * mask_loss(self.decoder, pairs, owner=self.name)

    def _add_class_loss(
        self, losses: dict[str, Tensor], sides: list[tuple[Tensor, Tensor | None]]
    ) -> None:
        """Add the loss `class` of videos whose training classes are known."""
        known = [(tokens, ids) for tokens, ids in sides if ids is not None]
        if self.classifier is None or not self.class_weight or not known:
            return
        tokens = torch.cat([tokens.flatten(0, -3) for tokens, _ in known])
        ids = torch.cat([ids.flatten() for _, ids in known])
        scores = self.classifier(reduce(tokens, "videos tokens dim -> videos dim", "mean"))
        losses["class"] = self.class_weight * F.cross_entropy(scores.float(), ids)

    def _tokens(
        self, features: Float[Tensor, "*batch frames dim height width"]
    ) -> tuple[
        Float[Tensor, "*batch tokens dim"], Float[Tensor, "*batch frames dim height width"] | None
    ]:
        """Return the 1 + frames entries of every video, and its instance embeddings, if any."""
        videos = features.flatten(0, -5)
        lead = features.shape[:-4]
        instances = None if self.encoder is None else self.encoder(videos)
        tokens = self.fusion(self.attention(videos, instances)).unflatten(0, lead)
        return tokens, None if instances is None else instances.unflatten(0, lead)

    def _check(self, support: Tensor, query: Tensor) -> None:
        sizes = {"dim": self.dim}
        if self.fusion.positions is not None:
            sizes["frames"] = self.frames
        check_episode(self, support, query, **sizes)


def contrastive_loss(
    support: Float[Tensor, "batch way shot tokens dim"],
    query: Float[Tensor, "batch query tokens dim"],
    labels: Labels,
    cosine_eps: float = 0.01,
) -> Float[Tensor, ""]:
    """Compare frames of one side with the global token of the other; both cross-entropies added.

    With p the class's mean over shots: distances Σ_t 1 - cos(q_t, p_0) and Σ_t 1 - cos(q_0, p_t),
    the token at 0.
    """
    pairs = rearrange(
        cosine_distances(merge_shots(support, "prototype"), query, cosine_eps),
        "batch query way 1 rows columns -> (batch query) way rows columns",
    )
    query_frames = pairs[..., 1:, 0].sum(dim=-1)
    support_frames = pairs[..., 0, 1:].sum(dim=-1)
    classes = labels.flatten()
    return F.cross_entropy(-query_frames, classes) + F.cross_entropy(-support_frames, classes)
