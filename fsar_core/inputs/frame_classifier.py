"""The trained classifier of frames, for heads that score the actionness of live features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsar_core.inputs.base import Input, Planner, Source
from fsar_core.specs import ClassifierSpec, ModelSpec
from fsar_core.storage.bindings import check_trained_on

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from fsar_core.storage.places import Place

# Settings of the classifier that shape it, and that the head's parameters `classifier_*` repeat.
SHAPE = ("hidden", "kernel", "rectified")


class FrameClassifier(Input):
    """Read from a checkpoint; the head holds it frozen."""

    alias = "classifier"

    def plan(
        self, study: Planner, dataset: str, setup: str | None, count: int | None
    ) -> ClassifierSpec:
        return study.classifier(dataset, setup, count)

    def head_params(self, study: Planner, dataset: str) -> dict[str, Any]:
        settings = study.preset.saliency
        shape = {f"classifier_{name}": getattr(settings, name) for name in SHAPE}
        return {**shape, "classes": len(study.dataset(dataset).training_classes)}

    def check(self, study: Planner, spec: ClassifierSpec) -> None:
        study.check_features(spec.features)

    def open(
        self,
        path: Place | None,
        spec: ClassifierSpec,
        model: ModelSpec,
        index: pd.DataFrame | None = None,
    ) -> ClassifierSource:
        from fsar_core.data.index import index_identity
        from fsar_core.storage import checkpoint
        from fsar_core.storage.provenance import file_sha256

        saved = checkpoint.load(path, spec.digest)
        recorded = saved.get("inputs", {})
        check_trained_on(path, recorded, index_identity(index), "train_classifier")
        return ClassifierSource(saved["model"], file_sha256(path))


class ClassifierSource(Source):
    """The weights of a trained classifier."""

    def __init__(self, state: dict[str, Tensor], sha256: str) -> None:
        """
        Args:
            state: of `fsar_core.saliency.classifier.FrameClassifier`.
            sha256: of the file that it was read from.
        """
        self.state = state
        self.digests = {"classifier": sha256}

    def attach(self, head: nn.Module) -> None:
        head.load_classifier(self.state)
