"""Test a trained run on its frozen episodes: one row per query, and a summary with an interval."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.jobs import _run
from fsar_core.specs import RunSpec


def arguments(parser: argparse.ArgumentParser) -> None:
    _run.arguments(parser)
    _run.input_argument(parser)
    parser.add_argument("--episodes", type=Path, required=True, help="frozen test episodes")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="out: one row per query")
    parser.add_argument("--summary", type=Path, required=True, help="out: .json")


def run(args: argparse.Namespace) -> None:
    from fsar_core.evaluation.evaluate_run import evaluate_run

    spec = RunSpec.parse(args.spec)
    opened = _run.opened(args, spec, spec.tested_on)
    total = evaluate_run(
        spec,
        opened,
        args.episodes,
        args.checkpoint,
        dict(args.input),
        args.queries,
        args.summary,
    )
    print(opened.machine.meter.line(opened.machine.device))
    accuracy = f"{total.mean:.2f} ± {total.ci95:.2f} %"
    print(f"{spec.run_id}: {accuracy} over {total.episodes} episodes")
