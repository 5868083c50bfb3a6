"""Pictures of a data set's instance masks, and how well they fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from fsar_core.study.artifacts.base import Artifact
from fsar_core.study.artifacts.graph import Graph


class MaskPictures(Artifact):
    """Pictures of the masks of a data set. `spec` is the name of its card."""

    wildcards = ("dataset",)
    rule = "look_at_masks"

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        return [graph.get("mask_pictures", name) for name in graph.study.datasets]

    @property
    def key(self) -> str:
        return self.spec

    @property
    def path(self) -> Path:
        return self.files[-1]

    @property
    def files(self) -> Sequence[Path]:
        folder = self.study.config.roots.results / "masks"
        return [folder / f"{self.spec}.{ending}" for ending in ("png", "pdf", "csv")]

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        specs = self.study.specs
        return {
            "masks": [self.graph.of(specs.masks_of(self.spec))],
            "frames": [self.graph.of(specs.frames(self.spec))],
            "index": [self.graph.get("clip_index", self.spec)],
        }
