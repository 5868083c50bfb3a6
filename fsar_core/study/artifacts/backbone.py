"""The weights of a backbone that the pipeline trains itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fsar_core.specs import BackboneTrainingSpec
from fsar_core.study.artifacts.base import CLIP_FRAMES, Artifact, Work


class Backbone(Artifact):
    """A backbone, trained on the training classes of a data set."""

    spec: BackboneTrainingSpec
    spec_type = BackboneTrainingSpec
    wildcards = ("backbone",)
    location = ("weights", "trained/*.pt")
    rule = "train_backbone"
    uses_gpu = True

    @cached_property
    def key(self) -> str:
        return self.spec.key

    @cached_property
    def path(self) -> Path:
        return self.study.paths.weights(self.spec)

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        frames = self.spec.frames
        return {
            "frames": [self.graph.of(frames)],
            "index": [self.graph.get("clip_index", frames.dataset)],
        }

    @property
    def params(self) -> Mapping[str, Any]:
        return {"spec": self.spec.json_text}

    @property
    def work(self) -> Work:
        frames = self.spec.frames
        clips = self.spec.epochs * self.study.dataset(frames.dataset).training_clips
        stage = f"{self.rule}.{self.spec.backbone.name}"
        return Work(stage, clips * frames.count / CLIP_FRAMES)
