"""What a figure takes out of a saliency store: actionness, and pictures of a few clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fsar_core.specs import SaliencySpec
from fsar_core.study.artifacts.base import Artifact


class Watched(NamedTuple):
    """A figure, and a store whose actionness it shows."""

    figure: str
    saliency: SaliencySpec


class Actionness(Artifact):
    """Arrays that one figure takes out of one saliency store."""

    spec: Watched
    wildcards = ("figure", "store")
    location = ("results", "actionness/*/*.npz")
    rule = "inspect_saliency"

    @cached_property
    def key(self) -> str:
        return f"{self.spec.figure}/{self.store.key}"

    @cached_property
    def store(self) -> Artifact:
        """The saliency store."""
        return self.graph.of(self.spec.saliency)

    @property
    def path(self) -> Path:
        folder = self.study.config.roots.results / "actionness"
        return folder / self.spec.figure / f"{self.store.key}.npz"

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        saliency = self.spec.saliency
        return {
            "saliency": [self.store],
            "frames": [self.graph.of(saliency.features.frames)],
            "index": [self.graph.get("clip_index", saliency.dataset)],
        }

    @property
    def params(self) -> Mapping[str, Any]:
        data = self.study.dataset(self.spec.saliency.dataset)
        listed = data.card.intervals
        figure = self.study.figure(self.spec.figure)
        return {
            "spec": self.spec.saliency.json_text,
            "intervals": "" if listed is None else str(data.folder / listed),
            # Other figures show clips of their own choice.
            "examples": figure.examples if figure.kind == "actionness" else 0,
        }

    def check(self) -> None:
        self.study.checks.check_features(self.spec.saliency.features)
