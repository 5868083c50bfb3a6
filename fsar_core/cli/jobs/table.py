"""Write a paper's table as CSV, Markdown, LaTeX and HTML, and the clips that could not be used."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fsar_core.errors import FsarError
from fsar_core.papers.jobs import TableJob, parse
from fsar_core.papers.kinds import TableKind
from fsar_core.papers.registry import validate_table
from fsar_core.rendering import tables
from fsar_core.storage.bindings import remake
from fsar_core.storage.provenance import canonical_json, read_json
from fsar_core.stores import left_out


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True)
    parser.add_argument(
        "--spec",
        required=True,
        help="JSON of a TableJob: table, behind, way, cells of [method, card, column, run id]; "
        "indices and modalities of cards that are counted; complexity, what `fsar complexity` "
        "wrote; frames, card -> its frame stores; max_failures of the cards",
    )
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument(
        "--out", type=Path, required=True, help="the files' path without its ending"
    )


def run(args: argparse.Namespace) -> None:
    job = parse(TableJob, args.spec)
    table = validate_table(job.table, args.name)
    lost = left_out.of_table(job.frames, job.indices, job.max_failures)
    complexity = None if job.complexity is None else _measured(job.complexity, table)
    frame, blocks = table.make(job.inputs(args.name, table, args.runs, complexity))
    notes = [*table.notes, *left_out.notes(lost, args.out)]
    tables.write(args.out, frame, table.title, blocks, notes)
    left_out.write(lost, args.out)


def _measured(path: Path, table: TableKind) -> dict[str, Any]:
    """Read what `fsar complexity` wrote for a table.

    Raises:
        FsarError: other rows were counted or measured.
    """
    record = read_json(path, "run snakemake to measure it")
    expected = table.needs().complexity
    if canonical_json(record.get("spec", expected)) != canonical_json(expected):
        raise FsarError(
            f"{path}: measured of other rows or sizes than the table has; "
            f"{remake('complexity', path)}"
        )
    return record
