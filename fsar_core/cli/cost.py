"""Say what all or some tables and figures cost: jobs by rule, bytes, hours of cores and GPUs; split lists may be missing."""

from __future__ import annotations

import argparse

from fsar_core.cli import _budget
from fsar_core.cli.options import configuration
from fsar_core.maintenance.cost import Cost, by_rule, size
from fsar_core.maintenance.counted import CountedStudy


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration.arguments(parser)
    _budget.arguments(parser)
    parser.add_argument("--preset", help="in place of the configuration's")
    parser.add_argument(
        "--cores", type=int, default=1, help="to say how long it takes on a machine of so many"
    )
    parser.add_argument("--gpus", type=int, default=0, help="of that machine")


def run(args: argparse.Namespace) -> None:
    config = configuration.load(args)
    if args.preset is not None:
        config = configuration.with_preset(config, args.preset)
    study = CountedStudy(config, args.workflow)
    speeds = _budget.speeds(args, study)
    targets = _budget.chosen(args.names, study)
    costs = by_rule(study.artifacts.behind(targets.values()), speeds, done=True)
    total = sum(costs.values(), Cost())
    print(f"{'rule':18} {'jobs':>6} {'bytes':>10} {'core-hours':>11} {'or GPU-hours':>13}")
    for name, own in [*sorted(costs.items()), ("all", total)]:
        stored, gpu = (
            size(own.bytes) if own.bytes else "-",
            _hours(own.gpu_hours) if own.gpu_hours else "-",
        )
        print(f"{name:18} {own.jobs:6,} {stored:>10} {_hours(own.core_hours):>11} {gpu:>13}")
    _budget.tell_time(total, args.cores, args.gpus)
    for name in study.stand_ins:
        clips = study.dataset(name).clips.split.value_counts()
        print(
            f"{name}: counted from its card, {clips['train']:,} + {clips['val']:,} + {clips['test']:,} clips"
        )
    _budget.tell_sources(speeds)


def _hours(count: float) -> str:
    """More digits of less than an hour."""
    return f"{count:,.1f}" if count >= 1 else f"{count:.3f}"
