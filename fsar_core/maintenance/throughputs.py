"""How fast work is done: clips that one core gets through in a second, by stage, and where these numbers come from.

workflow/throughputs.yaml has the shipped ones; `benchmarks/throughputs.py` measures some of them anew, and what a run has left
behind (`results/benchmarks`) tells them of the machine that it ran on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from pydantic import Field, field_validator

from fsar_core.config import Model
from fsar_core.errors import FsarError
from fsar_core.study.artifacts.base import Artifact, Job


class Speeds(Model):
    """Of one preset."""

    source: str
    clips: dict[str, float]

    @field_validator("clips")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        return _all_positive(value)


class Throughputs(Model):
    """workflow/throughputs.yaml"""

    source: str  # where the numbers below come from
    clips: dict[
        str, float
    ]  # that a core gets through in a second, by stage: a rule, or `rule.name`, which goes before
    start: float = Field(ge=0)  # seconds of a core that every job takes beside its clips
    gpu: float = Field(gt=0)  # cores that a GPU stands for in jobs that use one
    gpu_source: str  # where that comes from
    ratios: dict[
        str, float
    ]  # bytes before to bytes after compression, by kind of store, or `kind.name`
    # By preset, whose models are so small that `clips` say nothing of them. A rule that is named here is not looked up there.
    presets: dict[str, Speeds] = Field(default={})

    def of_preset(self, name: str) -> Throughputs:
        """With a preset's own speeds in place of the others."""
        if name not in self.presets:
            return self
        own = self.presets[name]
        rules = {stage.split(".")[0] for stage in own.clips}
        others = {
            stage: number
            for stage, number in self.clips.items()
            if stage.split(".")[0] not in rules
        }
        return self.model_copy(
            update={
                "clips": others | own.clips,
                "source": f"{own.source}; of other stages those of every preset",
            }
        )

    @field_validator("clips", "ratios")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        return _all_positive(value)

    def seconds(self, artifact: Artifact) -> float:
        """Return the seconds of one core that all jobs of an artifact take."""
        work = artifact.work
        return work.clips / nearest(self.clips, work.stage) if work.clips else 0.0

    def bytes(self, artifact: Artifact) -> float:
        """Return the bytes that an artifact takes on disk."""
        volume = artifact.volume
        return volume.bytes / nearest(self.ratios, volume.content) if volume.bytes else 0.0


def _all_positive(value: dict[str, float]) -> dict[str, float]:
    for name, number in value.items():
        if not number > 0:
            raise ValueError(f"{name}: {number:g} must be greater than 0")
    return value


def nearest(numbers: dict[str, float], name: str) -> float:
    """That of `a.b.c`, or else of `a.b`, or else of `a`. FsarError where there is none of these."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (key := ".".join(parts[:length])) in numbers:
            return numbers[key]
    raise FsarError(
        f"throughputs: nothing is said of '{name}', nor of '{parts[0]}'; add one of both"
    )


def measured(artifacts: Iterable[Artifact], benchmarks: Path) -> dict[str, float]:
    """Return the clips that a core gets through in a second, from jobs that have been done.

    Args:
        benchmarks: the folder of Snakemake's benchmark files, <rule>/<what>.tsv.
    Returns:
        Speeds by stage, and by rule for stages that have not been run yet.
    """
    seconds: dict[str, float] = defaultdict(float)
    clips: dict[str, float] = defaultdict(float)
    for artifact in artifacts:
        jobs = [job for job in artifact.jobs if job.rule == artifact.rule]
        files = [file for job in jobs if (file := _benchmark(benchmarks, job)) is not None]
        work = artifact.work
        if not work.clips or not files:
            continue
        for name in {work.stage, artifact.rule}:
            seconds[name] += sum(map(_core_seconds, files))
            clips[name] += work.clips * len(files) / len(jobs)
    return {stage: clips[stage] / total for stage, total in seconds.items() if total > 0}


def _benchmark(folder: Path, job: Job) -> Path | None:
    """Return the benchmark file of a job, which rules name after what it makes; None without one."""
    path = job.path
    if job.rule == "demo_videos":
        name = f"{path.parents[2].name}.{path.parents[1].name}.{path.stem}"
    elif path.parent.name == "receipts":
        name = f"{path.parents[1].name}.{path.stem}"
    elif path.name in ("checkpoint.pt", "summary.json"):
        name = path.parent.name
    else:
        name = path.stem
    file = folder / job.rule / f"{name}.tsv"
    return file if file.is_file() else None


def _core_seconds(path: Path) -> float:
    try:
        return float(pd.read_csv(path, sep="\t")["cpu_time"].iloc[0])
    except (
        KeyError,
        IndexError,
        ValueError,
    ):  # a job too short to be measured has NA or no columns
        return 0.0
