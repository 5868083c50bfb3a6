"""The videos of a demo data set, which the pipeline draws itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fsar_core.study.artifacts.base import Artifact, Job, Work


class DemoVideos(Artifact):
    """Videos, masks and lists of a data set, drawn by several jobs. `spec` is its card's name."""

    wildcards = ("dataset", "digest")
    rule = "demo_videos"

    @cached_property
    def key(self) -> str:
        return f"{self.spec}/{self.study.dataset(self.spec).digest}"

    @property
    def path(self) -> Path:
        return self.files[-1]

    @cached_property
    def files(self) -> Sequence[Path]:
        folder = self.study.dataset(self.spec).folder / "receipts"
        return [folder / f"{job}.json" for job in range(self.study.preset.demo_videos.jobs)]

    @property
    def jobs(self) -> Sequence[Job]:
        return [Job(self.rule, receipt) for receipt in self.files]

    @property
    def params(self) -> Mapping[str, Any]:
        data = self.study.dataset(self.spec)
        return {"generator": data.card.generator, "folder": str(data.folder)}

    @property
    def work(self) -> Work:
        return Work(self.rule, len(self.study.dataset(self.spec)))
