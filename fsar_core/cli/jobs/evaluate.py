"""Test a trained run on its frozen episodes: one row per query, and a summary with an interval."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.options import inputs as input_options
from fsar_core.cli.options import model as model_options
from fsar_core.specs import RunSpec


def arguments(parser: argparse.ArgumentParser) -> None:
    model_options.arguments(parser)
    input_options.arguments(parser, "the artifact of an input that the head receives in tests")
    parser.add_argument("--episodes", type=Path, required=True, help="frozen test episodes")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="out: one row per query")
    parser.add_argument("--summary", type=Path, required=True, help="out: .json")


def run(args: argparse.Namespace) -> None:
    from fsar_core.evaluation.evaluate_run import evaluate_run

    spec = RunSpec.parse(args.spec)
    opened = model_options.opened(args, spec, spec.tested_on)
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
