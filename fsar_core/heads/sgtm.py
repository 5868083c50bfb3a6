"""SGTM: in training, the frames that are neither salient nor dull rebuild the whole video; all frames are matched.

Source: "Saliency-Guided Fine-Grained Temporal Mask Learning for Few-Shot Action Recognition": Eq. 1-2 saliency
(`fsar_core/layers/frame_classifier.py`), section 3.2 mask, Eq. 3 encoder, Eq. 4 decoder, Eq. 5 reconstruction loss, Eq. 6
features for the metric, Eq. 8 weight of the loss; Tables 3-5 and Fig. 4.

    X̂ = tokens(GAP(F))              every D-vector cut into D/P tokens of width P, token k of frame t at place t·D/P + k
    X_lat = Φ_enc(X̂_visible + PE)                   Eq. 3, training
    X_recon = Φ_dec(scatter(X_lat, mask token) + PE)  Eq. 4, training
    L_recon = λ MSE(X̂, X_recon)                      Eq. 5 and 8, training
    X_mat = frames(Transformer(Φ_enc(X̂ + PE)))       Eq. 6, training and test

Training runs both branches, and the one of Eq. 6 sees all frames there too: the mask acts through the loss alone. At test
neither saliency nor mask nor decoder is used. So λ = 0 (Table 5, 75.05 %) trains the same features as no mask learning at all
(Table 3, row 1, 74.50 %); here weights and random draws of the two are equal as well.

A block is that of a ViT: x + attention(LN(x)), then x + MLP(LN(x)), dropout after every dense layer but that of the queries,
keys and values, and after the positions. Parameters, with P = 512 and an MLP of 2 P: 8 P² + 11 P = 2,102,784 a block. With
D = 2048 and 64 training classes:

    Φ_cls (frozen)        512 D + 512 + 513 · 64      1,081,920
    Φ_enc                 2 blocks                    4,205,568
    Φ_dec, mask token     2 blocks, P                 4,206,080
    Transformer           2 blocks                    4,205,568
    the head                                         13,699,136
    with ResNet-50        + 23,508,032               37,207,168

The paper prints 37.2 M and none of P, the MLP's width, the depth of the last Transformer and Φ_cls: these are the fit to it.
It is not the only one (most share P = 512); this one counts everything and has 2 layers in each Transformer.

Where the text is ambiguous or silent:

    "T1 and T2 to 2"        T1 = 2, so that 4 frames are masked and T2 = T - 2 T1 = 4 are visible.
    Eq. 2                   Frames are ranked by the sum before the sigmoid; of equal frames the earlier is more salient.
    Eq. 4, concat           Latents go back to the places of their tokens, the mask token to all others.
    Eq. 5                   The mean over all tokens, visible ones included, of squared differences averaged over a token's P
                            numbers ("Mean Square Error"); summed over them as the norm is printed, it is P times as much,
                            which is `reconstruction_weight`. `reconstruct="masked"` takes the masked frames alone.
    Eq. 5, target           X̂ without gradient, or a trained backbone could make it easy to rebuild; `detach_target=False`
                            lets the gradient through.
    PE                      Fixed sines and cosines, of a token's place in the whole video, the same in Eq. 3, 4 and 6; added
                            once, before the encoder, as Eq. 6 writes it. Added at full size (`position_scale`).
    Saliency in step two    Φ_cls is a part of this head, trained before it and frozen. It scores the features as they are
                            ("live") or scored them once ("store"); the same while the backbone is frozen and no view differs.
    Fig. 4, 0 %             Nothing is masked, but the loss stays: the decoder rebuilds what it is given.
    Output                  Neither norm nor projection behind the last block of encoder, decoder and Transformer.

Differs: frames are ranked before the sigmoid, which ties high scores.
Differs: support and query pass through as one batch of videos; nothing in the head looks beyond a video.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from fsar_core.components.head import Head, check_episode
from fsar_core.components.parameters import (
    NonNegative,
    NonNegativeInt,
    PositiveInt,
    Probability,
)
from fsar_core.errors import FsarError, one_of
from fsar_core.layers.frame_classifier import FrameClassifier, actionness
from fsar_core.layers.positions import sinusoid
from fsar_core.layers.sizes import divide
from fsar_core.types import GridQuery, GridSupport, HeadOutput

# Strategies that rank the frames by their actionness.
GUIDED = ("saliency", "top", "bottom", "middle")

Frames = Float[Tensor, "videos frames dim"]
FrameScores = Float[Tensor, "videos frames"]
Hidden = Bool[Tensor, "videos frames"]
Tokens = Float[Tensor, "videos tokens width"]
Places = Int64[Tensor, "videos visible"]


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
        mask: which frames are hidden from the encoder in training; `TemporalMask`. None: no temporal mask learning, that is
            no decoder and no loss.
        masked: how many frames are hidden, 2 T1; even under "saliency", and fewer than `frames`.
        saliency: where the actionness of the frames comes from when the mask is guided by it. "store": from outside, as
            `support_saliency` and `query_saliency`. "live": from `classifier`, without gradient and dropout.
        classes: training classes, with which the head holds Φ_cls as `classifier`, frozen. None: it has none, and only
            "store" is possible.
        classifier_hidden, classifier_kernel, classifier_rectified: of Φ_cls.
        reconstruction_weight: λ of Eq. 8.
        reconstruct: tokens of the loss, "all" or "masked".
        detach_target: whether the features that are to be rebuilt get no gradient from it.
        position_scale: factor of the positions.

    Raises:
        FsarError: a value outside these.
    """

    inputs: ClassVar = {
        "actionness": {
            "mask": ("saliency", "top", "bottom", "middle"),
            "saliency": ("store",),
        },
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
                "sgtm: saliency='live' needs its own classifier; set classes to the number of training classes"
            )
        if mask is not None and reconstruct == "masked" and masked == 0:
            raise FsarError("sgtm: reconstruct='masked' has nothing to rebuild with masked=0; set reconstruct='all'")
        self.dim, self.frames, self.parts = dim, frames, divide(self.name, dim, "width", width)
        divide(self.name, width, "heads", heads)
        self.saliency, self.weight = saliency, reconstruction_weight
        self.reconstruct, self.detach_target = reconstruct, detach_target
        tokens = frames * self.parts
        block = dict(width=width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)
        # What is used at test comes first: with and without a mask, equal seeds give it equal weights.
        self.encoder = MaskEncoder(tokens, encoder_layers, position_scale=position_scale, **block)
        self.metric = MetricTransformer(metric_layers, **block)
        self.mask = self.decoder = self.classifier = None
        if mask is not None:
            self.mask = TemporalMask(frames, masked, mask)
            self.decoder = MaskDecoder(tokens, decoder_layers, position_scale=position_scale, **block)
        self._classifier_trained = False
        if classes is not None:
            # Never run with dropout: the rate of its training is of no consequence here.
            sizes = dict(hidden=classifier_hidden, kernel=classifier_kernel, rectified=classifier_rectified)
            self.classifier = FrameClassifier(dim, classes, **sizes)
            self.classifier.requires_grad_(False).eval()

    def encode(self, clips: Float[Tensor, "*batch frames dim height width"]) -> Tensor:
        """Return X_mat of Eq. 6, [*batch frames dim 1 1]."""
        frames = reduce(clips, "... dim height width -> ... dim", "mean")
        matched = self._frames(self.metric(self.encoder(self._tokens(frames.flatten(0, -3)))))
        return matched.unflatten(0, frames.shape[:-2])[..., None, None]

    def forward(
        self,
        support: GridSupport,
        query: GridQuery,
        support_saliency: Float[Tensor, "batch way shot frames"] | None = None,
        query_saliency: Float[Tensor, "batch query frames"] | None = None,
        **aux: Tensor,
    ) -> HeadOutput:
        """
        Args:
            support: [batch way shot frames dim height width]
            query: [batch query frames dim height width]
            support_saliency: actionness of the support's frames; only their order counts. Needed, and read, in training with
                saliency="store" and a mask that it guides.
            query_saliency: the same of the query.
            aux: ignored.

        Returns:
            X_mat of Eq. 6, [batch way shot frames dim 1 1] and [batch query frames dim 1 1], and in training the loss
            `reconstruction`, times its weight.

        Raises:
            FsarError: another number of axes, frames or channels than the head was built for, or no saliency where it is
                needed.
        """
        check_episode(self, support, query, dim=self.dim, frames=self.frames)
        sets = [reduce(features, "... dim height width -> ... dim", "mean") for features in (support, query)]
        videos = torch.cat([features.flatten(0, -3) for features in sets])
        # Before the mask learning: with and without it, equal seeds give equal dropout here.
        matched = self._frames(self.metric(self.encoder(self._tokens(videos))))
        losses = {}
        if self.training and self.mask is not None:
            scores = self._actionness(videos, sets, support_saliency, query_saliency)
            losses["reconstruction"] = self.weight * self.reconstruction_loss(videos, self.mask(videos, scores))
        sizes = [features.shape[:-2].numel() for features in sets]
        found = [part.unflatten(0, s.shape[:-2])[..., None, None] for part, s in zip(matched.split(sizes), sets)]
        return HeadOutput(*found, losses)

    def load_classifier(self, state: dict[str, Tensor]) -> None:
        """Take the weights of a trained Φ_cls, as `train_classifier` returns them. FsarError unless they fit."""
        if self.classifier is None:
            raise FsarError("sgtm: the head has no classifier to load; set classes to the number of training classes")
        wanted = {name: list(value.shape) for name, value in self.classifier.state_dict().items()}
        given = {name: list(value.shape) for name, value in state.items()}
        if wanted != given:
            raise FsarError(
                f"sgtm: the classifier's weights are {given}, expected {wanted}; train it on the same features and classes"
            )
        self.classifier.load_state_dict(state)
        self._classifier_trained = True

    def train(self, mode: bool = True) -> SGTM:
        """Φ_cls stays in evaluation mode: it is frozen, and scores without dropout."""
        super().train(mode)
        if self.classifier is not None:
            self.classifier.eval()
        return self

    def reconstruction_loss(self, videos: Frames, hidden: Hidden) -> Float[Tensor, ""]:
        """Eq. 3-5, before the weight: rebuild all frames of the videos from those that are not hidden."""
        tokens = self._tokens(videos)
        places = visible_places(hidden, self.mask.masked, self.parts)
        rebuilt = self.decoder(self.encoder(at_places(tokens, places), places), places)
        errors = (rebuilt - (tokens.detach() if self.detach_target else tokens)).square()
        if self.reconstruct == "all":
            return errors.mean()
        of_frames = reduce(errors, "videos (frames parts) width -> videos frames", "mean", parts=self.parts)
        return (of_frames * hidden).sum() / (len(videos) * self.mask.masked)

    def _actionness(
        self, videos: Frames, sets: list[Tensor], support_saliency: Tensor | None, query_saliency: Tensor | None
    ) -> FrameScores | None:
        """What the frames of all videos are ranked by, or None where the mask does not ask."""
        if not self.mask.guided:
            return None
        if self.saliency == "live":
            if not self._classifier_trained:
                raise FsarError(
                    "sgtm: saliency='live' needs a trained classifier; train one and give its weights to load_classifier"
                )
            # At full precision, or scores that differ would be tied.
            with torch.no_grad(), torch.autocast(videos.device.type, enabled=False):
                return actionness(self.classifier(videos.to(self.classifier.inner.weight.dtype)))
        scores = []
        for name, given, features in zip(("support", "query"), (support_saliency, query_saliency), sets):
            if given is None or given.shape != features.shape[:-1]:
                found = "none" if given is None else f"{list(given.shape)}"
                raise FsarError(
                    f"sgtm: training with mask='{self.mask.strategy}' and saliency='store' needs {name}_saliency "
                    f"{list(features.shape[:-1])}, got {found}; store the actionness of the frames, or set saliency='live'"
                )
            scores.append(given.flatten(0, -2))
        return torch.cat(scores)

    def _tokens(self, videos: Frames) -> Tokens:
        return rearrange(videos, "videos frames (parts width) -> videos (frames parts) width", parts=self.parts)

    def _frames(self, tokens: Tokens) -> Frames:
        return rearrange(tokens, "videos (frames parts) width -> videos frames (parts width)", parts=self.parts)


class TemporalMask(nn.Module):
    """Section 3.2, which frames of a video are hidden. No parameters.

    The frames are ranked from the most to the least salient, of equal ones the earlier first. Hidden are

        "saliency"  the first and the last T1 = masked / 2 ranks: the ambiguous frames stay
        "top"       the first `masked` ranks
        "bottom"    the last `masked` ranks
        "middle"    the `masked` ranks in the middle; if they cannot lie evenly, one rank less stays before than behind them
        "random"    as many frames, each choice as likely, from torch's global generator

    Args:
        frames: of a video, T.
        masked: how many are hidden, fewer than `frames`; even under "saliency".
        strategy: one of these.
    """

    def __init__(self, frames: int = 8, masked: int = 4, strategy: str = "saliency") -> None:
        super().__init__()
        one_of("sgtm", "masked", masked, tuple(range(0, frames, 2 if strategy == "saliency" else 1)))
        self.masked, self.strategy, self.guided = masked, strategy, strategy in GUIDED
        if strategy == "saliency":
            ranks = [*range(masked // 2), *range(frames - masked // 2, frames)]
        else:
            first = {"bottom": frames - masked, "middle": (frames - masked) // 2}.get(strategy, 0)
            ranks = [*range(first, first + masked)]
        self.register_buffer("ranks", torch.tensor(ranks, dtype=torch.int64), persistent=False)

    def forward(self, videos: Frames, scores: FrameScores | None = None) -> Hidden:
        """True where a frame of `videos` is hidden. `scores`: their actionness, if `guided`."""
        if not self.guided:
            scores = torch.rand(videos.shape[:2], device=videos.device)
        ranking = scores.sort(dim=-1, descending=True, stable=True).indices
        return torch.zeros_like(ranking, dtype=torch.bool).scatter(1, ranking[:, self.ranks], True)


class MaskEncoder(nn.Module):
    """Φ_enc of Eq. 3 and 6: blocks on tokens at their places.

    Args:
        tokens: of a whole video, N' = T D / P.
        layers: blocks.
        width, heads, mlp_ratio, dropout, position_scale: as in `SGTM`.
    """

    def __init__(
        self,
        tokens: int,
        layers: int = 2,
        width: int = 512,
        heads: int = 8,
        mlp_ratio: int = 2,
        dropout: float = 0.1,
        position_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.tokens, self.position_scale = tokens, position_scale
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, mlp_ratio, dropout) for _ in range(layers)))

    def forward(self, tokens: Tokens, places: Places | None = None) -> Tokens:
        """Latents of the tokens, which are those of a whole video in order or the ones that lie at `places` in it."""
        positions = self.position_scale * sinusoid(self.tokens, tokens.shape[-1], like=tokens)
        return self.blocks(self.dropout(tokens + (positions if places is None else positions[places])))


class MaskDecoder(nn.Module):
    """Φ_dec of Eq. 4: latents at their places, the mask token at all others, then blocks. Arguments as in `MaskEncoder`."""

    def __init__(
        self,
        tokens: int,
        layers: int = 2,
        width: int = 512,
        heads: int = 8,
        mlp_ratio: int = 2,
        dropout: float = 0.1,
        position_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.tokens, self.position_scale = tokens, position_scale
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, mlp_ratio, dropout) for _ in range(layers)))

    def forward(self, latents: Tokens, places: Places) -> Tokens:
        """The tokens of whole videos from `latents`, which lie at `places` in them."""
        tokens = scattered(latents, places, self.mask_token, self.tokens)
        positions = self.position_scale * sinusoid(self.tokens, tokens.shape[-1], like=tokens)
        return self.blocks(self.dropout(tokens + positions))


class MetricTransformer(nn.Module):
    """The shallow Transformer of Eq. 6, behind the encoder. Arguments as in `MaskEncoder`."""

    def __init__(
        self, layers: int = 2, width: int = 512, heads: int = 8, mlp_ratio: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width, heads, mlp_ratio, dropout) for _ in range(layers)))

    def forward(self, tokens: Tokens) -> Tokens:
        """Tokens in, tokens out; they hold their positions already."""
        return self.blocks(tokens)


class Block(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x)), over the tokens of each video."""

    def __init__(self, width: int, heads: int = 8, mlp_ratio: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_in, self.mlp_out = nn.Linear(width, mlp_ratio * width), nn.Linear(mlp_ratio * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens + self.dropout(self.out(self._attention(self.norm_1(tokens))))
        inner = self.dropout(F.gelu(self.mlp_in(self.norm_2(tokens))))
        return tokens + self.dropout(self.mlp_out(inner))

    def _attention(self, tokens: Tokens) -> Tokens:
        queries, keys, values = rearrange(
            self.qkv(tokens),
            "videos tokens (three heads channels) -> three videos heads tokens channels",
            three=3,
            heads=self.heads,
        )
        attended = F.scaled_dot_product_attention(queries, keys, values)
        return rearrange(attended, "videos heads tokens channels -> videos tokens (heads channels)")


def visible_places(hidden: Hidden, masked: int, parts: int) -> Places:
    """Places of the tokens, `parts` a frame, of the frames that are not hidden, ascending; `masked` are, in every video."""
    visible = hidden.int().argsort(dim=-1, stable=True)[:, : hidden.shape[1] - masked]
    places = parts * visible[:, :, None] + torch.arange(parts, device=hidden.device)
    return rearrange(places, "videos visible parts -> videos (visible parts)")


def at_places(tokens: Tokens, places: Places) -> Tokens:
    """The tokens that lie at `places`, in their order."""
    return tokens.gather(1, repeat(places, "videos visible -> videos visible width", width=tokens.shape[-1]))


def scattered(latents: Tokens, places: Places, mask_token: Float[Tensor, " width"], tokens: int) -> Tokens:
    """Videos of `tokens` tokens: the latents at their places, the mask token at all others."""
    videos, _, width = latents.shape
    everywhere = mask_token.to(latents.dtype).expand(videos, tokens, width)
    return everywhere.scatter(1, repeat(places, "videos visible -> videos visible width", width=width), latents)
