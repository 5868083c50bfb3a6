"""A run's model: the tail of the backbone behind the cut, a head, a matching metric."""

from __future__ import annotations

import torch
from einops import reduce
from torch import Tensor, nn

from fsar_core.components.registry import accepted, build, entry
from fsar_core.episodes.loader import EpisodeFeatures
from fsar_core.runtime.seeding import derive
from fsar_core.specs import ModelSpec
from fsar_core.types import HeadOutput, Logits


class EpisodeModel(nn.Module):
    """support and query features at the cut -> logits [batch query way] and auxiliary losses.

    A head that wraps the tail of the backbone (`wraps_tail`) holds it as `tail` and runs it itself; the
    model's own is then nn.Identity.
    """

    def __init__(
        self,
        tail: nn.Module,
        head: nn.Module,
        matching: nn.Module,
        train_tail: bool = False,
        batch_norm: str = "train",
    ) -> None:
        super().__init__()
        self.tail, self.head, self.matching = tail, head, matching
        self.train_tail, self.batch_norm = train_tail, batch_norm
        self._behind_the_cut.requires_grad_(train_tail)

    def train(self, mode: bool = True) -> EpisodeModel:
        """A frozen tail stays in evaluation mode: its BatchNorm statistics are part of the cached features' definition."""
        super().train(mode)
        self._behind_the_cut.train(mode and self.train_tail)
        if self.batch_norm == "frozen":
            for module in self._behind_the_cut.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    @property
    def _behind_the_cut(self) -> nn.Module:
        return self.head.tail if self.head.wraps_tail else self.tail

    def forward(self, episodes: EpisodeFeatures) -> tuple[Logits, dict[str, Tensor]]:
        return self.compare(*self.before_head(episodes), **episodes.aux)

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

    def relate(self, support: tuple[Tensor, ...], query: tuple[Tensor, ...], metric: bool = True) -> Logits:
        """Return the logits of episodes from what `encode` made of their clips."""
        if self.head.relates:
            return self.matching(*self.pooled(self.head.relate(*support, *query)))
        if metric:
            return self.matching.compare(support, query)
        return self.matching(*support, *query)

    def before_head(self, episodes: EpisodeFeatures) -> tuple[Tensor, Tensor]:
        """Support and query as the head is given them."""
        return self.through_tail(episodes.support), self.through_tail(episodes.query)

    def compare(self, support: Tensor, query: Tensor, **aux: Tensor) -> tuple[Logits, dict[str, Tensor]]:
        """What follows `before_head`: logits and auxiliary losses."""
        out = self.head(support, query, **aux)
        return self.matching(*self.pooled(out)), out.losses

    def pooled(self, out: HeadOutput) -> tuple[Tensor, Tensor]:
        """Support and query as the metric is given them: without a grid, unless it is spatial."""
        if self.matching.spatial:
            return out.support, out.query
        return (
            reduce(out.support, "batch way shot frames dim height width -> batch way shot frames dim", "mean"),
            reduce(out.query, "batch query frames dim height width -> batch query frames dim", "mean"),
        )

    def through_tail(self, features: Tensor) -> Tensor:
        """Features at the cut, [... dim height width], as the head is given them. Stored and moved in half precision, they are
        computed with in single precision."""
        if features.dtype == torch.float16:
            features = features.float()
        if isinstance(self.tail, nn.Identity):
            return features
        *lead, dim, height, width = features.shape
        out = self.tail(features.reshape(-1, dim, height, width))
        return out.reshape(*lead, *out.shape[1:])

    def learned(self) -> dict[str, Tensor]:
        """The state dict without a frozen tail: that is the backbone's, whose weights have a file of their own."""
        return {key: value for key, value in self.state_dict().items() if not key.startswith(self._frozen)}

    def load_learned(self, state: dict[str, Tensor]) -> None:
        """Take what `learned` gave; every key has to be there, and no other."""
        frozen = {key: value for key, value in self.state_dict().items() if key.startswith(self._frozen)}
        self.load_state_dict(frozen | state)

    @property
    def _frozen(self) -> tuple[str, ...]:
        """What the names of all parameters and statistics of a frozen tail start with."""
        return () if self.train_tail else ("head.tail." if self.head.wraps_tail else "tail.",)

    @property
    def trainable(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.requires_grad]


def build_model(spec: ModelSpec, tail: nn.Module, dim: int, frames: int) -> EpisodeModel:
    """The model of a spec. `dim` is that of the last stage's features, where head and metric work.

    A head that wraps the tail works before that stage: it is given the tail in place of sizes that it can read off it.

    Head and metric have random streams of their own: equal heads, and equal metrics, start from equal weights, whatever
    else two runs differ in, so that their comparison on the same episodes is not one of initial draws.
    """
    parts = []
    for kind, component in (("heads", spec.head), ("matching", spec.matching)):
        offered = {k: v for k, v in dict(dim=dim, frames=frames, tail=tail).items() if k not in component.params}
        torch.manual_seed(derive(spec.seed, "init", kind, component.name))
        parts.append(build(kind, component.name, **accepted(kind, component.name, **offered), **component.params))
    wrapped = entry("heads", spec.head.name).attributes["wraps_tail"]
    return EpisodeModel(nn.Identity() if wrapped else tail, *parts, spec.train_tail, spec.batch_norm)
