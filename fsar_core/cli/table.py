"""Write a paper's table as CSV, Markdown and LaTeX from the summaries of its runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fsar_core.config import Table, validate
from fsar_core.reporting.tables import Resolved, write


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True)
    parser.add_argument(
        "--spec", required=True, help="JSON: table, behind, way, cells of [method, data set, shot, run id]"
    )
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--out", type=Path, required=True, help="the files' path without its ending")


def run(args: argparse.Namespace) -> None:
    spec = json.loads(args.spec)
    cells = {(method, dataset, shot): args.runs / run_id for method, dataset, shot, run_id in spec["cells"]}
    table = validate(Table, spec["table"], args.name)
    write(Resolved(name=args.name, table=table, behind=spec["behind"], runs=cells, way=spec["way"]), args.out)
