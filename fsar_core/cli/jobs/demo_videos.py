"""Draw the demo videos of one data set, or one job's share of them, with their instance masks,
split list and intervals."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.options import json_spec
from fsar_core.config import DemoVideos, validate
from fsar_core.data.demo.drawing import draw_share


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", required=True, help="demo_temporal, demo_spatial or demo_partial"
    )
    parser.add_argument("--spec", required=True, help="JSON of the preset's demo_videos block")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--folder",
        type=Path,
        required=True,
        help="where videos/, masks/, split.tsv and, of demo_partial, intervals.tsv go",
    )
    parser.add_argument("--job", type=int, default=0, help="this job's number")
    parser.add_argument("--jobs", type=int, default=1, help="of how many")
    parser.add_argument("--receipt", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    sizes = validate(DemoVideos, {**json_spec.with_keys(args.spec), "jobs": args.jobs}, "--spec")
    draw_share(args.dataset, sizes, args.seed, args.folder, args.job, args.receipt)
