"""Classes of training clips: `labels`, `support_classes` and `query_classes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fsar_core.inputs.base import Input, Planner, Source

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from fsar_core.episodes.sampler import Episode
    from fsar_core.specs import ModelSpec
    from fsar_core.storage.places import Place


class ClassIds(Input):
    """Read off the episodes themselves. In tests the class of a query is the question."""

    has_artifact = False

    def head_params(self, study: Planner, dataset: str) -> dict[str, Any]:
        return {"classes": len(study.dataset(dataset).training_classes)}

    def open(
        self,
        path: Place | None,
        spec: None,
        model: ModelSpec,
        index: pd.DataFrame | None = None,
    ) -> ClassSource:
        return ClassSource()


class ClassSource(Source):
    """Classes of the clips of training episodes."""

    def batch(self, episodes: Sequence[Episode]) -> dict[str, Tensor]:
        """Return int64 ids of classes.

        `labels` [batch query] are positions among the classes of the episode. `support_classes`
        [batch way shot] and `query_classes` [batch query] are numbers of training classes from 0.
        """
        import torch

        labels = torch.from_numpy(np.stack([episode.labels for episode in episodes]))
        classes = torch.from_numpy(np.stack([episode.classes for episode in episodes]))
        shot = episodes[0].support.shape[1]
        return {
            "labels": labels,
            "support_classes": classes[..., None].expand(*classes.shape, shot),
            "query_classes": classes.gather(1, labels),
        }
