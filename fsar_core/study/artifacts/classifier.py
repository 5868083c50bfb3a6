"""The classifier of frames, whose scores are the actionness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fsar_core.specs import ClassifierSpec
from fsar_core.study.artifacts.base import CLIP_FRAMES, Artifact, Work


class Classifier(Artifact):
    """A classifier, trained on the training clips of a feature store."""

    spec: ClassifierSpec
    spec_type = ClassifierSpec
    wildcards = ("classifier",)
    location = ("weights", "saliency/*.pt")
    rule = "train_classifier"
    uses_gpu = True

    @cached_property
    def key(self) -> str:
        return self.spec.key

    @cached_property
    def path(self) -> Path:
        return self.study.paths.classifier(self.spec)

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        features = self.spec.features
        return {
            "features": [self.graph.of(features)],
            "index": [self.graph.get("clip_index", features.dataset)],
        }

    @property
    def params(self) -> Mapping[str, Any]:
        return {"spec": self.spec.json_text}

    @property
    def work(self) -> Work:
        features = self.spec.features
        clips = self.spec.epochs * self.study.dataset(features.dataset).training_clips
        return Work(self.rule, clips * features.frames.count / CLIP_FRAMES)

    def check(self) -> None:
        self.study.checks.check_features(self.spec.features)
