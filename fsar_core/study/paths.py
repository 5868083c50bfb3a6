"""Where each artifact is kept: folders of stores, weights and results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsar_core.specs import (
    BackboneTrainingSpec,
    ClassifierSpec,
    EpisodeSpec,
    ModelSpec,
    RunSpec,
    StoreSpec,
)
from fsar_core.storage.places import Place
from fsar_core.stores import kinds

if TYPE_CHECKING:
    from fsar_core.study.study import Study


class Paths:
    """The folders and files of a study.

    Attributes:
        roots: the folders that the configuration names.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self.roots = study.config.roots

    def store(self, spec: StoreSpec) -> Place:
        """Return the folder of a store.

        The kind of store says which store holds what a spec describes.
        """
        spec = kinds.get(spec.kind).kept_as(spec)
        return self.roots.stores / spec.kind / spec.key

    def index(self, dataset: str) -> Place:
        """Return the clip index of a data set."""
        digest = self._study.dataset(dataset).digest
        return self.roots.stores / "index" / f"{dataset}.{digest}.tsv"

    def weights(self, spec: BackboneTrainingSpec) -> Path:
        """Return the weights of a backbone that the pipeline trains."""
        return self.roots.weights / "trained" / f"{spec.key}.pt"

    def classifier(self, spec: ClassifierSpec) -> Path:
        """Return the checkpoint of a classifier of frames."""
        return self.roots.weights / "saliency" / f"{spec.key}.pt"

    def episodes(self, spec: EpisodeSpec) -> Path:
        """Return the file of frozen episodes."""
        return self.roots.results / "episodes" / f"{spec.key}.npz"

    def model(self, spec: ModelSpec) -> Path:
        """Return the folder of a trained model."""
        return self.roots.results / "models" / spec.model_id

    def run(self, spec: RunSpec) -> Path:
        """Return the folder of a tested model."""
        return self.roots.results / "runs" / spec.run_id
