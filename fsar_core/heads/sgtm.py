"""SGTM: in training, frames that are neither salient nor dull rebuild the video; all are matched.

Source: "Saliency-Guided Fine-Grained Temporal Mask Learning for Few-Shot Action Recognition":
Eq. 1-2 saliency (`layers/frame_classifier.py`), section 3.2 mask and Eq. 3-4 encoder and decoder
(`layers/temporal_masking.py`), Eq. 5 reconstruction loss, Eq. 6 features for the metric, Eq. 8
weight of the loss; Tables 3-5 and Fig. 4.

    X̂ = tokens(GAP(F))              every D-vector cut into D/P tokens of width P,
                                    token k of frame t at place t·D/P + k
    X_lat = Φ_enc(X̂_visible + PE)                     Eq. 3, training
    X_recon = Φ_dec(scatter(X_lat, mask token) + PE)  Eq. 4, training
    L_recon = λ MSE(X̂, X_recon)                       Eq. 5 and 8, training
    X_mat = frames(Transformer(Φ_enc(X̂ + PE)))        Eq. 6, training and test

Training runs both branches, and the one of Eq. 6 sees all frames there too: the mask acts through
the loss alone. At test neither saliency nor mask nor decoder is used. So λ = 0 (Table 5, 75.05 %)
trains the same features as no mask learning at all (Table 3, row 1, 74.50 %); here weights and
random draws of the two are equal as well.

The blocks are those of `layers/transformer.py`. With P = 512 and an MLP of 2 P, a block has
8 P² + 11 P = 2,102,784 parameters. With D = 2048 and 64 training classes:

    Φ_cls (frozen)        512 D + 512 + 513 · 64      1,081,920
    Φ_enc                 2 blocks                    4,205,568
    Φ_dec, mask token     2 blocks, P                 4,206,080
    Transformer           2 blocks                    4,205,568
    the head                                         13,699,136
    with ResNet-50        + 23,508,032               37,207,168

The paper prints 37.2 M and none of P, the MLP's width, the depth of the last Transformer and Φ_cls:
these are the fit to it. It is not the only one (most share P = 512); this one counts everything and
has 2 layers in each Transformer.

Where the text is ambiguous or silent:

    "T1 and T2 to 2"        T1 = 2, so that 4 frames are masked and T2 = T - 2 T1 = 4 are visible.
    Eq. 5                   The mean over all tokens, visible ones included, of squared differences
                            averaged over a token's P numbers ("Mean Square Error"). Summed over
                            them, as the norm is printed, it is P times as much, which
                            `reconstruction_weight` can express. `reconstruct="masked"` takes the
                            masked frames alone.
    Eq. 5, target           X̂ without gradient, or a trained backbone could make it easy to
                            rebuild; `detach_target=False` lets the gradient through.
    Saliency in step two    Φ_cls is a part of this head, trained before it and frozen. It scores
                            the features as they are ("live") or scored them once ("store"); the
                            same while the backbone is frozen and no view differs.
    Fig. 4, 0 %             Nothing is masked, but the loss stays: the decoder rebuilds what it is
                            given.
    Output                  No norm or projection follows the last block of encoder, decoder and
                            Transformer.
    Eq. 2, Eq. 3-4          `layers/frame_classifier.py` (ranks), `layers/temporal_masking.py`
                            (places and their code).

Differs: support and query pass through as one batch of videos; nothing in the head looks beyond a
    video.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from fsar_core.components.head import Head, check_episode
from fsar_core.components.parameters import (
    NonNegative,
    NonNegativeInt,
    PositiveInt,
    Probability,
)
from fsar_core.errors import FsarError
from fsar_core.layers.frame_classifier import FrozenFrameClassifier
from fsar_core.layers.sizes import divide
from fsar_core.layers.temporal_masking import (
    FrameScores,
    Hidden,
    MaskDecoder,
    TemporalMask,
    at_places,
    visible_places,
)
from fsar_core.layers.transformer import PositionedTransformer, Tokens, Transformer
from fsar_core.types import GridQuery, GridSupport, HeadOutput

Frames = Float[Tensor, "videos frames dim"]


class SGTM(Head):
    """Encoder and metric Transformer, and in training a decoder that rebuilds the masked frames.

    Args:
        dim: channels of the features, D.
        frames: frames of a clip, T.
        width: numbers in a token, P; divides `dim`.
        heads: of every attention; divides `width`.
        mlp_ratio: width of the MLP's inner layer, in units of `width`.
        encoder_layers, decoder_layers, metric_layers: blocks of each; 0 leaves its blocks out.
        dropout: from 0 to below 1.
        mask: which frames are hidden from the encoder in training; see `TemporalMask`. None: no
            temporal mask learning, that is no decoder and no loss.
        masked: how many frames are hidden, 2 T1; even under "saliency", and fewer than `frames`.
        saliency: where the actionness of the frames comes from when the mask is guided by it.
            "store": from outside, as `support_saliency` and `query_saliency`. "live": from
            `classifier`, without gradient and dropout.
        classes: training classes; with them the head holds Φ_cls as `classifier`, frozen. None: it
            has none, and only "store" is possible.
        classifier_hidden, classifier_kernel, classifier_rectified: of Φ_cls.
        reconstruction_weight: λ of Eq. 8.
        reconstruct: tokens of the loss, "all" or "masked".
        detach_target: whether the features that are to be rebuilt get no gradient from it.
        position_scale: factor of the positions.
    """

    inputs: ClassVar = {
        "actionness": {"mask": ("saliency", "top", "bottom", "middle"), "saliency": ("store",)},
        "frame_classifier": {
            "mask": ("saliency", "top", "bottom", "middle"),
            "saliency": ("live",),
        },
    }

    def __init__(
        self,
        dim: PositiveInt,
        frames: PositiveInt = 8,
        width: PositiveInt = 512,
        heads: PositiveInt = 8,
        mlp_ratio: PositiveInt = 2,
        encoder_layers: NonNegativeInt = 2,
        decoder_layers: NonNegativeInt = 2,
        metric_layers: NonNegativeInt = 2,
        dropout: Probability = 0.1,
        mask: Literal["saliency", "random", "top", "bottom", "middle"] | None = "saliency",
        masked: NonNegativeInt = 4,
        saliency: Literal["store", "live"] = "store",
        classes: PositiveInt | None = None,
        classifier_hidden: PositiveInt = 512,
        classifier_kernel: PositiveInt = 1,
        classifier_rectified: bool = True,
        reconstruction_weight: NonNegative = 0.5,
        reconstruct: Literal["all", "masked"] = "all",
        detach_target: bool = True,
        position_scale: NonNegative = 1.0,
    ) -> None:
        super().__init__()
        if saliency == "live" and classes is None:
            raise FsarError(
                "sgtm: saliency='live' needs its own classifier; "
                "set classes to the number of training classes"
            )
        if mask is not None and reconstruct == "masked" and masked == 0:
            raise FsarError(
                "sgtm: reconstruct='masked' has nothing to rebuild with masked=0; "
                "set reconstruct='all'"
            )
        self.dim = dim
        self.frames = frames
        self.parts = divide(self.name, dim, "width", width)
        divide(self.name, width, "heads", heads)
        self.saliency = saliency
        self.weight = reconstruction_weight
        self.reconstruct = reconstruct
        self.detach_target = detach_target
        tokens = frames * self.parts
        block = {"width": width, "heads": heads, "mlp_ratio": mlp_ratio, "dropout": dropout}
        placed = {"position_scale": position_scale, **block}
        # Parts used at test come first: equal seeds give them equal weights with and without mask.
        self.encoder = PositionedTransformer(tokens, encoder_layers, **placed)
        self.metric = Transformer(metric_layers, **block)
        self.mask = self.decoder = self.classifier = None
        if mask is not None:
            self.mask = TemporalMask(frames, masked, mask, owner=self.name)
            self.decoder = MaskDecoder(tokens, layers=decoder_layers, **placed)
        if classes is not None:
            self.classifier = FrozenFrameClassifier(
                dim,
                classes,
                hidden=classifier_hidden,
                kernel=classifier_kernel,
                rectified=classifier_rectified,
            )

    def encode(self, clips: Float[Tensor, "*batch frames dim height width"]) -> Tensor:
        """Return X_mat of Eq. 6, [*batch frames dim 1 1]."""
        frames = reduce(clips, "... dim height width -> ... dim", "mean")
        matched = self._matched(frames.flatten(0, -3))
        return matched.unflatten(0, frames.shape[:-2])[..., None, None]

    def forward(
        self,
        support: GridSupport,
        query: GridQuery,
        support_saliency: Float[Tensor, "batch way shot frames"] | None = None,
        query_saliency: Float[Tensor, "batch query frames"] | None = None,
        **aux: Tensor,
    ) -> HeadOutput:
        """Encode an episode; in training also rebuild its masked frames.

        Args:
            support: [batch way shot frames dim height width]
            query: [batch query frames dim height width]
            support_saliency: actionness of the support's frames; only their order counts. Needed,
                and read, in training with saliency="store" and a mask that it guides.
            query_saliency: the same of the query.
            aux: ignored.

        Returns:
            X_mat of Eq. 6, [batch way shot frames dim 1 1] and [batch query frames dim 1 1], and in
            training the loss `reconstruction`, times its weight.

        Raises:
            FsarError: another number of axes, frames or channels than the head was built for, or no
                saliency where it is needed.
        """
        check_episode(self, support, query, dim=self.dim, frames=self.frames)
        support = reduce(support, "... dim height width -> ... dim", "mean")
        query = reduce(query, "... dim height width -> ... dim", "mean")
        videos = torch.cat([support.flatten(0, -3), query.flatten(0, -3)])
        # Before the mask learning: with and without it, equal seeds give equal dropout here.
        matched = self._matched(videos)
        losses = {}
        if self.training and self.mask is not None:
            given = {"support": support_saliency, "query": query_saliency}
            sides = {"support": support, "query": query}
            hidden = self.mask(videos, self._actionness(videos, sides, given))
            losses["reconstruction"] = self.weight * self.reconstruction_loss(videos, hidden)
        support_videos = support.shape[:-2].numel()
        return HeadOutput(
            matched[:support_videos].unflatten(0, support.shape[:-2])[..., None, None],
            matched[support_videos:].unflatten(0, query.shape[:-2])[..., None, None],
            losses,
        )

    def load_classifier(self, state: dict[str, Tensor]) -> None:
        """Load the weights of a trained Φ_cls, as `train_classifier` returns them.

        Raises:
            FsarError: the weights do not fit, or the head has no classifier.
        """
        if self.classifier is None:
            raise FsarError(
                "sgtm: the head has no classifier to load; "
                "set classes to the number of training classes"
            )
        self.classifier.load_trained(state, owner=self.name)

    def reconstruction_loss(self, videos: Frames, hidden: Hidden) -> Float[Tensor, ""]:
        """Rebuild all frames from those that are not hidden: Eq. 3-5, before the weight."""
        tokens = self._tokens(videos)
        places = visible_places(hidden, self.mask.masked, self.parts)
        latents = self.encoder(at_places(tokens, places), places)
        target = tokens.detach() if self.detach_target else tokens
        errors = (self.decoder(latents, places) - target).square()
        if self.reconstruct == "all":
            return errors.mean()
        frame_errors = reduce(
            errors, "videos (frames parts) width -> videos frames", "mean", parts=self.parts
        )
        return (frame_errors * hidden).sum() / (len(videos) * self.mask.masked)

    def _matched(self, videos: Frames) -> Frames:
        """Return X_mat of Eq. 6."""
        return self._frames(self.metric(self.encoder(self._tokens(videos))))

    def _actionness(
        self, videos: Frames, sides: dict[str, Tensor], given: dict[str, Tensor | None]
    ) -> FrameScores | None:
        """Return what the frames of all videos are ranked by; None if the mask does not need it."""
        if not self.mask.guided:
            return None
        if self.saliency == "live":
            if not self.classifier.trained:
                raise FsarError(
                    "sgtm: saliency='live' needs a trained classifier; "
                    "train one and give its weights to load_classifier"
                )
            return self.classifier.actionness(videos)
        for side, features in sides.items():
            scores = given[side]
            if scores is None or scores.shape != features.shape[:-1]:
                received = "none" if scores is None else f"{list(scores.shape)}"
                raise FsarError(
                    f"sgtm: training with mask='{self.mask.strategy}' and saliency='store' needs "
                    f"{side}_saliency {list(features.shape[:-1])}, got {received}; "
                    f"store the actionness of the frames, or set saliency='live'"
                )
        return torch.cat([given[side].flatten(0, -2) for side in sides])

    def _tokens(self, videos: Frames) -> Tokens:
        pattern = "videos frames (parts width) -> videos (frames parts) width"
        return rearrange(videos, pattern, parts=self.parts)

    def _frames(self, tokens: Tokens) -> Frames:
        pattern = "videos (frames parts) width -> videos frames (parts width)"
        return rearrange(tokens, pattern, parts=self.parts)
