"""Draw a paper's figure from results of runs or what was taken out of them: PNG, PDF, a CSV, and its page of the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.options import json_spec
from fsar_core.figures import actionness, attention, cam, class_accuracy, class_gain, embedding, masks
from fsar_core.figures import curves as figures
from fsar_core.paper import validate_figure
from fsar_core.report.figure_page import write_page


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True)
    parser.add_argument(
        "--spec",
        required=True,
        help="JSON: figure, way; of curves and classes points of [panel, method, shot, value, run id], of others looks of "
        "[data set, method, file of `fsar inspect`] and watches of [data set, file of `fsar inspect-saliency`]",
    )
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--out", type=Path, required=True, help="the files' path without its ending")


def run(args: argparse.Namespace) -> None:
    spec = json_spec.with_keys(args.spec, "figure", "way", "points")
    figure, looks = validate_figure(spec["figure"], args.name), spec.get("looks", ())
    points = [figures.Point(*place, run=args.runs / run_id) for *place, run_id in spec["points"]]
    if figure.kind == "curves":
        table = figures.curves(figure, points)
        canvas = figures.draw_curves(figure, table, spec["way"])
    elif figure.kind == "class_gain":
        table = class_gain.gains(figure, points)
        canvas = class_gain.draw_class_gain(figure, table, spec["way"])
    elif figure.kind == "class_accuracy":
        table = class_accuracy.accuracies(figure, points)
        canvas = class_accuracy.draw_class_accuracy(figure, table, spec["way"])
    elif figure.kind == "actionness":
        canvas, table = actionness.actionness(figure, spec["watches"])
    elif figure.kind == "cam":
        canvas, table = cam.cam(figure, looks, spec.get("watches", ()))
    elif figure.kind == "masks":
        canvas, table = masks.masks(figure, looks)
    elif figure.kind == "embedding":
        canvas, table = embedding.embedding(figure, looks)
    else:
        shown, right = attention.read(figure, looks)
        if figure.kind == "task_attention":
            canvas, table = attention.task_attention(figure, shown, right)
        else:
            canvas, table = getattr(attention, figure.kind)(figure, shown)
    figures.write(canvas, table, args.out)
    write_page(args.name, figure, table, args.out)
