"""The clip index of a data set: which of its clips can be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from fsar_core.storage.places import Place
from fsar_core.study.artifacts.base import Artifact, Work
from fsar_core.study.artifacts.graph import Graph


class ClipIndex(Artifact):
    """Every listed clip, opened once. `spec` is the name of the data set's card."""

    wildcards = ("dataset", "digest")
    location = ("stores", "index/*.tsv")
    rule = "clip_index"

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        return [graph.get("clip_index", name) for name in graph.study.datasets]

    @cached_property
    def key(self) -> str:
        return f"{self.spec}/{self.study.dataset(self.spec).digest}"

    @cached_property
    def path(self) -> Place:
        return self.study.paths.index(self.spec)

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        is_drawn = self.study.dataset(self.spec).card.generator
        return {"demo": [self.graph.get("demo_videos", self.spec)] if is_drawn else []}

    @property
    def params(self) -> Mapping[str, Any]:
        data = self.study.dataset(self.spec)
        limits = {"min_frames": data.card.min_frames, "max_failures": data.card.max_failures}
        return {**limits, "folder": str(data.folder)}

    @property
    def work(self) -> Work:
        return Work(self.rule, len(self.study.dataset(self.spec)))
