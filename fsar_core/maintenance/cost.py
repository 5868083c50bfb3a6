"""What work would cost: jobs, bytes on disk, hours of cores, and of GPUs where there are any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from fsar_core.maintenance.throughputs import Throughputs
from fsar_core.study import Study
from fsar_core.study.artifacts.base import Artifact


@dataclass(frozen=True)
class Cost:
    """Of some jobs.

    Attributes:
        bytes: of stores; everything else is small.
        core_hours: of all jobs, without a GPU.
        gpu_hours: of those that use a GPU, where there is one; it starts them no faster.
        other_core_hours: of the rest.
    """

    jobs: int = 0
    bytes: float = 0.0
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    other_core_hours: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + its for mine, its in zip(astuple(self), astuple(other))))


def targets(study: Study) -> dict[str, Artifact]:
    """Return every table and figure, by name."""
    graph = study.artifacts
    tables = {name: graph.get("table", name) for name in study.table_names}
    return tables | {name: graph.get("figure", name) for name in study.figure_names}


def by_rule(
    artifacts: Iterable[Artifact], throughputs: Throughputs, done: bool = False
) -> dict[str, Cost]:
    """Return what is left to do for artifacts, by rule.

    Of a store that is partly filled, the rest counts.

    Args:
        done: whether jobs that are done count too, as if nothing existed.
    """
    costs: dict[str, Cost] = {}
    for artifact in artifacts:
        all_jobs = Counter(job.rule for job in artifact.jobs)
        left = Counter(job.rule for job in artifact.jobs if done or not job.path.exists())
        for rule, jobs in left.items():
            does_the_work = rule == artifact.rule
            share = jobs / all_jobs[rule] if does_the_work else 0.0
            on_gpu = artifact.uses_gpu and does_the_work
            cost = _cost(artifact, throughputs, jobs, share, on_gpu)
            costs[rule] = costs.get(rule, Cost()) + cost
    return costs


def _cost(
    artifact: Artifact, throughputs: Throughputs, jobs: int, share: float, on_gpu: bool
) -> Cost:
    """Return the cost of some jobs that do a share of an artifact's work."""
    seconds = share * throughputs.seconds(artifact) if share else 0.0
    start = throughputs.start * jobs
    hours = (seconds + start) / 3600
    return Cost(
        jobs=jobs,
        bytes=share * throughputs.bytes(artifact) if share else 0.0,
        core_hours=hours,
        gpu_hours=(seconds / throughputs.gpu + start) / 3600 if on_gpu else 0.0,
        other_core_hours=0.0 if on_gpu else hours,
    )


def size(count: float) -> str:
    """Bytes for people."""
    for unit, of_one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= of_one:
            return f"{count / of_one:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"


def time(hours: float) -> str:
    """Hours for people."""
    if hours < 1:
        return f"{60 * hours:.0f} min" if hours >= 1 / 60 else "less than 1 min"
    return f"{hours:,.1f} h" if hours < 100 else f"{hours:,.0f} h"
