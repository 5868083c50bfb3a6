"""Write a page of a paper's report: data and failures, training curves, classes and confusions, effects of modules, run times."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.options import json_spec
from fsar_core.rendering import web
from fsar_core.report import classes, effects, times, training
from fsar_core.report import provenance as provenance_page
from fsar_core.report.contents import PAGES


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", required=True, choices=[*PAGES])
    parser.add_argument("--paper", required=True)
    parser.add_argument(
        "--spec",
        required=True,
        help="JSON: as `fsar_core.report.contents` makes it for this kind",
    )
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    spec = json_spec.with_keys(args.spec, "runs_folder", "models_folder")
    runs, models = Path(spec["runs_folder"]), Path(spec["models_folder"])
    if args.kind == "data":
        content = provenance_page.page(args.paper, spec)
    elif args.kind == "training":
        content = training.page(args.paper, spec["models"], models)
    elif args.kind == "classes":
        content = classes.page(args.paper, spec["runs"], runs)
    elif args.kind == "effects":
        content = effects.page(args.paper, spec["tables"], runs)
    else:
        content = times.page(args.paper, Path(spec["benchmarks"]))
    web.write(args.out, content)
