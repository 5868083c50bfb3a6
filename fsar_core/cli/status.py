"""Say of every table and figure whether it is done, what is missing for it, and what that would cost."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Iterator

from fsar_core.cli import _budget
from fsar_core.cli.options import configuration
from fsar_core.errors import FsarError
from fsar_core.maintenance.cost import Cost, by_rule, size, time
from fsar_core.maintenance.verify import lost_in_index
from fsar_core.storage.places import Place
from fsar_core.stores.manifest import lost_clips
from fsar_core.study import Study
from fsar_core.study.artifacts.base import Artifact


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration.arguments(parser)
    _budget.arguments(parser)


def run(args: argparse.Namespace) -> None:
    study = Study(configuration.load(args), args.workflow)
    graph = study.artifacts
    speeds = _budget.speeds(args, study)
    targets = _budget.chosen(args.names, study)
    done = 0
    for name, target in targets.items():
        costs = by_rule(graph.behind([target], done=False), speeds)
        done += not costs
        print(f"{name:18} {told(costs)}")
    together = by_rule(graph.behind(targets.values(), done=False), speeds)
    left = f"; {told(together)}" if together else ""
    print(f"{'together':18} {done} of {len(targets)} done{left}")
    if together:
        _budget.tell_sources(speeds)
    for path, line in lost(graph.behind(targets.values())):
        print(f"{path}: {line}, and then run snakemake as usual")
    print("what is out of date, and so made again, snakemake tells: snakemake -n")


def lost(artifacts: Iterable[Artifact]) -> Iterator[tuple[Place, str]]:
    """Yield complete artifacts with clips that were lost, and how to try these again.

    Clips are lost in clip indices and stores, when a decoder crashes.
    """
    for artifact in artifacts:
        if not artifact.loses_clips or not artifact.is_done:
            continue
        with contextlib.suppress(FsarError):  # `fsar verify` reports damaged files
            line = lost_line(artifact.path)
            if line:
                yield artifact.path, line


def lost_line(path: Place) -> str:
    """Return how to try the lost clips of a clip index or a store again; empty without any."""
    is_store = path.name == "manifest.json"
    return lost_clips(path.parent) if is_store else lost_in_index(path)


def told(costs: dict[str, Cost]) -> str:
    """What is missing of a thing, on one line."""
    if not costs:
        return "done"
    total, most = (
        sum(costs.values(), Cost()),
        sorted(costs, key=lambda rule: (-costs[rule].jobs, rule)),
    )
    shown = ", ".join(f"{costs[rule].jobs} {rule}" for rule in most[:3]) + (
        ", ..." if len(most) > 3 else ""
    )
    parts = [f"missing: {total.jobs} job{'s' if total.jobs > 1 else ''} ({shown})"]
    parts += [f"{size(total.bytes)} of stores"] if total.bytes else []
    parts.append(f"{time(total.core_hours)} of one core")
    with_gpu = time(total.gpu_hours + total.other_core_hours)
    return ", ".join(parts) + (
        f" ({with_gpu} with a GPU)" if with_gpu != time(total.core_hours) else ""
    )
