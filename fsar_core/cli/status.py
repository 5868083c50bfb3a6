"""Say of every table and figure whether it is done, what is missing for it, and what that would cost."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from fsar_core.cli import _budget
from fsar_core.cli.options import configuration
from fsar_core.errors import FsarError
from fsar_core.maintenance.cost import Cost, by_rule, size, time
from fsar_core.maintenance.verify import lost_in_index
from fsar_core.maintenance.work import Works
from fsar_core.storage.places import Place
from fsar_core.stores.manifest import lost_clips
from fsar_core.study import Study


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration.arguments(parser)
    _budget.arguments(parser)


def run(args: argparse.Namespace) -> None:
    works = Works(Study(configuration.load(args), args.workflow))
    speeds = _budget.speeds(args, works)
    targets = _budget.chosen(args.names, works)
    done = 0
    for name, path in works.targets.items():
        if path in targets:
            costs = by_rule(works.behind([path]), speeds)
            done += not costs
            print(f"{name:18} {told(costs)}")
    together = by_rule(works.behind(targets), speeds)
    print(f"{'together':18} {done} of {len(targets)} done" + (f"; {told(together)}" if together else ""))
    if together:
        _budget.tell_sources(speeds)
    for path, line in lost(works, targets):
        print(f"{path}: {line}, and then run snakemake as usual")
    print("what is out of date, and so made again, snakemake tells: snakemake -n")


def lost(works: Works, targets: list[Path]) -> Iterator[tuple[Place, str]]:
    """Clip indices and sealed stores behind targets in which clips were lost with their decoder, and how to try them again."""
    for work in works.behind(targets, done=True):
        is_index, is_store = work.rule == "clip_index", work.made.name == "manifest.json"
        if not (is_index or is_store) or not work.made.exists():
            continue
        with contextlib.suppress(FsarError):  # a damaged file: `fsar verify` says so
            line = lost_in_index(work.made) if is_index else lost_clips(work.made.parent)
            if line:
                yield work.made, line


def told(costs: dict[str, Cost]) -> str:
    """What is missing of a thing, on one line."""
    if not costs:
        return "done"
    total, most = sum(costs.values(), Cost()), sorted(costs, key=lambda rule: (-costs[rule].jobs, rule))
    shown = ", ".join(f"{costs[rule].jobs} {rule}" for rule in most[:3]) + (", ..." if len(most) > 3 else "")
    parts = [f"missing: {total.jobs} job{'s' if total.jobs > 1 else ''} ({shown})"]
    parts += [f"{size(total.bytes)} of stores"] if total.bytes else []
    parts.append(f"{time(total.core_hours)} of one core")
    with_gpu = time(total.gpu_hours + total.other_core_hours)
    return ", ".join(parts) + (f" ({with_gpu} with a GPU)" if with_gpu != time(total.core_hours) else "")
