"""What work would cost: jobs, bytes on disk, hours of cores, and of GPUs where there are any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from fsar_core.maintenance.throughputs import Throughputs
from fsar_core.maintenance.work import Work


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


def by_rule(works: Iterable[Work], throughputs: Throughputs, done: bool = False) -> dict[str, Cost]:
    """What is left of the given work, by rule; with `done` all of it, as if nothing were there.

    Of a store of which a part is filled, the rest counts.
    """
    found: dict[str, Cost] = {}
    for work in works:
        all_jobs = Counter(rule for rule, _ in work.parts)
        for rule, jobs in Counter(rule for rule, part in work.parts if done or not part.exists()).items():
            share, gpu = jobs / all_jobs[rule] if rule == work.rule else 0.0, work.gpu and rule == work.rule
            seconds, start = share * throughputs.seconds(work), throughputs.start * jobs
            hours = (seconds + start) / 3600
            own = Cost(
                jobs=jobs,
                bytes=share * throughputs.bytes(work),
                core_hours=hours,
                gpu_hours=(seconds / throughputs.gpu + start) / 3600 if gpu else 0.0,
                other_core_hours=0.0 if gpu else hours,
            )
            found[rule] = found.get(rule, Cost()) + own
    return found


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
