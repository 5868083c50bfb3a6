"""Draw a paper's figure as PNG and PDF from the results of its runs, and write its points as CSV."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fsar_core.config import Figure, validate


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True)
    parser.add_argument(
        "--spec", required=True, help="JSON: figure, way, points of [panel, method, shot, value, run id]"
    )
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--out", type=Path, required=True, help="the files' path without its ending")


def run(args: argparse.Namespace) -> None:
    from fsar_core.reporting import figures

    spec = json.loads(args.spec)
    figure = validate(Figure, spec["figure"], args.name)
    points = [figures.Point(*place, run=args.runs / run_id) for *place, run_id in spec["points"]]
    table = figures.curves(figure, points)
    figures.write(figures.draw_curves(figure, table, spec["way"]), table, args.out)
