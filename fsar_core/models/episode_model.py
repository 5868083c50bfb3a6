"""A model: the tail of the backbone behind the cut, a head and a metric."""

from __future__ import annotations

from typing import Any

import torch
from einops import reduce
from torch import Tensor, nn

from fsar_core.components.registry import accepted, build, entry
from fsar_core.episodes.loader import EpisodeFeatures
from fsar_core.runtime.seeding import derive
from fsar_core.specs import ModelSpec
from fsar_core.types import HeadOutput, Logits


class EpisodeModel(nn.Module):
    """Turns features at the cut into logits [batch query way] and auxiliary losses.

    A head that wraps the tail of the backbone (`wraps_tail`) holds it as `tail` and runs it itself;
    the model's tail is then nn.Identity.
    """

    def __init__(
        self,
        tail: nn.Module,
        head: nn.Module,
        matching: nn.Module,
        train_tail: bool = False,
        batch_norm: str = "train",
    ) -> None:
        """
        Args:
            train_tail: whether the tail is trained with the head.
            batch_norm: of a trained tail; `train` or `frozen`, as in `ModelSpec`.
        """
        super().__init__()
        self.tail = tail
        self.head = head
        self.matching = matching
        self.train_tail = train_tail
        self.batch_norm = batch_norm
        self._backbone_tail.requires_grad_(train_tail)

    def train(self, mode: bool = True) -> EpisodeModel:
        """Set the mode; a frozen tail stays in evaluation mode.

        The statistics of its BatchNorm layers are part of what the cached features mean.
        """
        super().train(mode)
        self._backbone_tail.train(mode and self.train_tail)
        if self.batch_norm == "frozen":
            for module in self._backbone_tail.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    @property
    def _backbone_tail(self) -> nn.Module:
        return self.head.tail if self.head.wraps_tail else self.tail

    def forward(self, episodes: EpisodeFeatures) -> tuple[Logits, dict[str, Tensor]]:
        """Return the logits and auxiliary losses of a batch of episodes."""
        return self.compare(*self.before_head(episodes), **episodes.aux)

    def before_head(self, episodes: EpisodeFeatures) -> tuple[Tensor, Tensor]:
        """Return support and query as the head receives them."""
        return self.through_tail(episodes.support), self.through_tail(episodes.query)

    def compare(
        self, support: Tensor, query: Tensor, **aux: Tensor
    ) -> tuple[Logits, dict[str, Tensor]]:
        """Return logits and auxiliary losses of what `before_head` returned."""
        out = self.head(support, query, **aux)
        return self.matching(*self.pooled(out)), out.losses

    def pooled(self, out: HeadOutput) -> tuple[Tensor, Tensor]:
        """Return support and query as the metric receives them: without a grid, unless spatial."""
        if self.matching.spatial:
            return out.support, out.query
        side = "batch way shot frames dim"
        support = reduce(out.support, f"{side} height width -> {side}", "mean")
        side = "batch query frames dim"
        return support, reduce(out.query, f"{side} height width -> {side}", "mean")

    def through_tail(self, features: Tensor) -> Tensor:
        """Return features at the cut, [... dim height width], as the head receives them.

        They are stored and moved in half precision, and computed with in single precision.
        """
        if features.dtype == torch.float16:
            features = features.float()
        if isinstance(self.tail, nn.Identity):
            return features
        *lead, dim, height, width = features.shape
        out = self.tail(features.reshape(-1, dim, height, width))
        return out.reshape(*lead, *out.shape[1:])

    # Tests encode each clip once and relate the clips of many episodes.

    def encode(self, features: Tensor, metric: bool = True) -> tuple[Tensor, ...]:
        """Return what the tail, the head and the metric make of clips [clips ...], each clip alone.

        Args:
            metric: with the metric's part, which may be larger than the clip (TRX: the keys and
                values of its tuples). It is left out if the head relates the clips first.
        """
        clips = self.head.encode(self.through_tail(features))
        if self.head.relates:
            return (clips,)
        if not self.matching.spatial:
            clips = reduce(clips, "clips frames dim height width -> clips frames dim", "mean")
        return self.matching.encode(clips) if metric else (clips,)

    def relate(
        self, support: tuple[Tensor, ...], query: tuple[Tensor, ...], metric: bool = True
    ) -> Logits:
        """Return the logits of episodes from what `encode` made of their clips."""
        if self.head.relates:
            return self.matching(*self.pooled(self.head.relate(*support, *query)))
        if metric:
            return self.matching.compare(support, query)
        return self.matching(*support, *query)

    # Checkpoints.

    def learned(self) -> dict[str, Tensor]:
        """Return the state dict without a frozen tail, whose weights have a file of their own."""
        state = self.state_dict()
        return {key: value for key, value in state.items() if not key.startswith(self._frozen)}

    def load_learned(self, state: dict[str, Tensor]) -> None:
        """Load what `learned` returned; the keys must be exactly those."""
        own = self.state_dict()
        frozen = {key: value for key, value in own.items() if key.startswith(self._frozen)}
        self.load_state_dict(frozen | state)

    @property
    def _frozen(self) -> tuple[str, ...]:
        """Prefixes of the names of a frozen tail's parameters and statistics."""
        if self.train_tail:
            return ()
        return ("head.tail.",) if self.head.wraps_tail else ("tail.",)

    @property
    def trainable(self) -> list[nn.Parameter]:
        """The parameters that training changes."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def build_model(spec: ModelSpec, tail: nn.Module, dim: int, frames: int) -> EpisodeModel:
    """Return the model of a spec, with initial weights.

    Head and metric draw their weights from random streams of their own. Equal heads, and equal
    metrics, start from equal weights, whatever else differs between two runs, so that a comparison
    on the same episodes does not compare initial draws.

    Args:
        tail: of the backbone. A head that wraps it reads its sizes off it.
        dim: channels of the last stage's features, where head and metric work.
        frames: of a clip.
    """
    offered = {"dim": dim, "frames": frames, "tail": tail}
    head = _part("heads", spec, offered)
    matching = _part("matching", spec, offered)
    if entry("heads", spec.head.name).attributes["wraps_tail"]:
        tail = nn.Identity()
    return EpisodeModel(tail, head, matching, spec.train_tail, spec.batch_norm)


def _part(kind: str, spec: ModelSpec, offered: dict[str, Any]) -> nn.Module:
    """Return the head or the metric of a spec, which takes what it needs of what is offered."""
    component = spec.head if kind == "heads" else spec.matching
    missing = {key: value for key, value in offered.items() if key not in component.params}
    torch.manual_seed(derive(spec.seed, "init", kind, component.name))
    supplied = accepted(kind, component.name, **missing)
    return build(kind, component.name, **supplied, **component.params)
