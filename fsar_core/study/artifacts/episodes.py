"""Frozen episodes, the same for all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fsar_core.specs import EpisodeSpec
from fsar_core.study.artifacts.base import Artifact


class Episodes(Artifact):
    """A table of validation or test episodes."""

    spec: EpisodeSpec
    spec_type = EpisodeSpec
    wildcards = ("episodes",)
    location = ("results", "episodes/*.npz")
    rule = "draw_episodes"

    @cached_property
    def key(self) -> str:
        return self.spec.key

    @cached_property
    def path(self) -> Path:
        return self.study.paths.episodes(self.spec)

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        dataset = self.spec.dataset
        return {
            "index": [self.graph.get("clip_index", dataset)],
            "frames": [self.graph.of(self.study.specs.frames(dataset))],
        }

    @property
    def params(self) -> Mapping[str, Any]:
        return {"spec": self.spec.json_text}

    def check(self) -> None:
        self.study.checks.check_episodes(self.spec)
