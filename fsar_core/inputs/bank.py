"""Episodes with everything that a head is given of them: features and inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from fsar_core.errors import FsarError
from fsar_core.inputs.base import Source

if TYPE_CHECKING:
    from fsar_core.episodes.loader import EpisodeFeatures, FeatureBank
    from fsar_core.episodes.sampler import Episode

# No label: an index that no class of an episode has.
WITHHELD = np.iinfo(np.int64).min


class EpisodeBank:
    """Features of clips together with the inputs that a head asks for in this phase."""

    def __init__(
        self,
        features: FeatureBank,
        sources: Sequence[Source],
        phase: Literal["training", "test"] = "training",
    ) -> None:
        """
        Args:
            features: of all clips that episodes name.
            sources: opened and loaded inputs.
        Raises:
            FsarError: an input of training is asked for in a test.
        """
        self.features, self.sources, self.phase = features, list(sources), phase
        if phase == "test" and not all(source.at_test for source in self.sources):
            names = [type(source).__name__ for source in self.sources if not source.at_test]
            raise FsarError(
                f"{', '.join(names)}: given in training only, because it may tell the class of "
                f"a query"
            )

    def batch(self, episodes: Sequence[Episode]) -> EpisodeFeatures:
        """Return episodes of one shape as tensors, `aux` holding the inputs.

        In a test the inputs are not shown which class a query belongs to.
        """
        features = self.features.batch(episodes)
        shown = episodes if self.phase == "training" else [_without_labels(e) for e in episodes]
        aux = {}
        for source in self.sources:
            aux |= source.batch(shown)
        return replace(features, aux=aux)


def _without_labels(episode: Episode) -> Episode:
    return replace(episode, labels=np.full_like(episode.labels, WITHHELD))
