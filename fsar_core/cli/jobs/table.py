"""Write a paper's table as CSV, Markdown and LaTeX from the summaries of its runs, clip indices or measured costs; beside it the
clips that could not be used."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fsar_core.cli.options import json_spec
from fsar_core.errors import FsarError
from fsar_core.paper import AnyTable, validate_table
from fsar_core.storage.bindings import remake
from fsar_core.storage.places import place
from fsar_core.storage.provenance import canonical_json, read_json
from fsar_core.stores import left_out
from fsar_core.tables import accuracy as tables
from fsar_core.tables import datasets, parameters


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True)
    parser.add_argument(
        "--spec",
        required=True,
        help="JSON: table, behind, way, cells of [method, data set, column, run id]; of a table of data sets also indices and "
        "modalities of the cards; where something is counted or measured, complexity: what `fsar complexity` wrote; frames: data "
        "set -> its frame stores, max_failures: of its card",
    )
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--out", type=Path, required=True, help="the files' path without its ending")


def run(args: argparse.Namespace) -> None:
    spec = json_spec.with_keys(args.spec, "table", "behind", "way", "cells")
    table, behind = validate_table(spec["table"], args.name), spec["behind"]
    lost = left_out.of_table(spec)
    table = table.model_copy(update={"notes": [*table.notes, *left_out.notes(lost, args.out)]})
    complexity = None
    if spec.get("complexity"):
        complexity = _measured(Path(spec["complexity"]), table)
    if table.kind == "datasets":
        indices = {card: place(path) for card, path in spec["indices"].items()}
        datasets.write(table, behind, spec["modalities"], indices, args.out)
    elif table.kind == "parameters":
        parameters.write(table, complexity, args.out)
    else:
        cells = {(method, dataset, column): args.runs / run_id for method, dataset, column, run_id in spec["cells"]}
        tables.write(tables.Resolved(args.name, table, behind, cells, spec["way"], complexity), args.out)
    left_out.write(lost, args.out)


def _measured(path: Path, table: AnyTable) -> dict[str, Any]:
    """What `fsar complexity` wrote for a table. FsarError where it counted or measured other rows."""
    record = read_json(path, "run snakemake to measure it")
    expected = table.complexity()
    if canonical_json(record.get("spec", expected)) != canonical_json(expected):
        raise FsarError(
            f"{path}: measured of other rows or sizes than the table has; {remake('complexity', path)}"
        )
    return record
