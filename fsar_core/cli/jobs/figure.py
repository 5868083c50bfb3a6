"""Draw a paper's figure: PNG, PDF, a CSV of what is drawn, and its page of the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.papers.jobs import FigureJob, parse
from fsar_core.papers.registry import validate_figure
from fsar_core.rendering import drawing
from fsar_core.rendering.figure_page import write_page


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True)
    parser.add_argument(
        "--spec",
        required=True,
        help="JSON of a FigureJob: figure, way, points of [panel, method, shot, value, run id], "
        "looks of [data set, method, file of `fsar inspect`] and watches of [data set, file of "
        "`fsar inspect-saliency`]",
    )
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument(
        "--out", type=Path, required=True, help="the files' path without its ending"
    )


def run(args: argparse.Namespace) -> None:
    job = parse(FigureJob, args.spec)
    figure = validate_figure(job.figure, args.name)
    canvas, table = figure.draw(job.inputs(figure, args.runs))
    drawing.write(canvas, table, args.out)
    write_page(args.name, figure, table, args.out)
