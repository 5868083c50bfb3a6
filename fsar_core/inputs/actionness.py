"""Actionness of the frames of training clips, `support_saliency` and `query_saliency`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsar_core.inputs.base import Input, Planner, StoreSource
from fsar_core.specs import ModelSpec, SaliencySpec

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from fsar_core.episodes.sampler import Episode
    from fsar_core.storage.bindings import SealedStore
    from fsar_core.storage.places import Place


class Actionness(Input):
    """Read from a saliency store."""

    alias = "saliency"

    def plan(
        self, study: Planner, dataset: str, setup: str | None, count: int | None
    ) -> SaliencySpec:
        return study.saliency(dataset, setup, count)

    def check(self, study: Planner, spec: SaliencySpec) -> None:
        study.check_features(spec.features)

    def open(
        self,
        path: Place | None,
        spec: SaliencySpec,
        model: ModelSpec,
        index: pd.DataFrame | None = None,
    ) -> ActionnessSource:
        from fsar_core.stores.reader import StoreReader

        return ActionnessSource(StoreReader(path, "actionness", spec))


class ActionnessSource(StoreSource):
    """Actionness of the stored views that episodes take."""

    def __init__(self, reader: SealedStore) -> None:
        super().__init__("saliency", reader)

    def batch(self, episodes: Sequence[Episode]) -> dict[str, Tensor]:
        """Return float32 actionness.

        `support_saliency` is [batch way shot frames], `query_saliency` [batch query frames].
        """
        return {f"{side}_saliency": scores for side, scores in self.sides(episodes).items()}
