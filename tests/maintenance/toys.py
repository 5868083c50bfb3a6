"""Artifacts of no study, for tests of sums."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from fsar_core.study.artifacts.base import Artifact, Job, Volume, Work


class Toy(Artifact):
    """An artifact that is what the test says."""

    key = "toy"
    rule = ""
    path = Path()
    jobs: Sequence[Job] = ()
    work = Work("")
    volume = Volume()


def toy(
    path: Path,
    stage: str,
    jobs: Sequence[tuple[str, Path]] | None = None,
    clips: float = 0.0,
    volume: tuple[str, float] = ("", 0.0),
    gpu: bool = False,
) -> Toy:
    """Return an artifact.

    Args:
        stage: its rule, followed by names of components.
        jobs: (rule, file) of each; None: one job of the rule.
    """
    artifact = Toy(SimpleNamespace(study=None), None)
    artifact.path = path
    artifact.rule = stage.split(".")[0]
    artifact.jobs = [Job(*job) for job in jobs or [(artifact.rule, path)]]
    artifact.work = Work(stage, clips)
    artifact.volume = Volume(*volume)
    artifact.uses_gpu = gpu
    return artifact
