"""A paper's table from run summaries: CSV for programs, Markdown and LaTeX for people.

Measured numbers stand under the name of the data set really used, with their 95 % intervals and, where a row compares to
another, the paired gain over it on the same episodes. Printed numbers stand under the name of the paper's data set; the two
share a column group only where they are of the same data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fsar_core.components.registry import entry
from fsar_core.evaluation.results import read_queries, read_summary
from fsar_core.evaluation.statistics import Estimate, paired_difference
from fsar_core.paper import Column, Row, Table, printed_number
from fsar_core.rendering import tables as render
from fsar_core.rendering.tables import Block
from fsar_core.tables import costs


@dataclass(frozen=True)
class Measured:
    """One measured cell: accuracy, and the paired gain over the row it is compared to."""

    accuracy: Estimate
    gain: Estimate | None
    backbone: str
    trained: str = "heads on frozen features"


@dataclass(frozen=True)
class Resolved:
    """A table with what stands behind it.

    Attributes:
        behind: paper data set -> data set really used.
        runs: (method, data set really used, name of the column) -> folder of the run.
        way: of the test episodes.
        complexity: what `fsar complexity` measured for a table with `cost`.
    """

    name: str
    table: Table
    behind: dict[str, str]
    runs: dict[tuple[str, str, str], Path]
    way: int
    complexity: dict[str, Any] | None = None


def measure(resolved: Resolved) -> dict[tuple[str, str, str], Measured]:
    """Read every run's summary and single queries."""
    queries: dict[Path, pd.DataFrame] = {}

    def of(run: Path) -> pd.DataFrame:
        if run not in queries:
            queries[run] = read_queries(run)
        return queries[run]

    rows = {row.method: row for row in resolved.table.rows}
    found = {}
    for (method, dataset, column), run in resolved.runs.items():
        summary = read_summary(run)
        plain = resolved.runs.get((rows[method].compare_to, dataset, column))
        gain = paired_difference(of(run), of(plain)) if plain is not None else None
        accuracy = Estimate(summary["accuracy"], summary["ci95"], summary["episodes"])
        found[method, dataset, column] = Measured(accuracy, gain, summary["backbone"], _trained(summary["spec"]))
    return found


def _trained(spec: dict[str, Any]) -> str:
    """What a run trains."""
    if spec["train_tail"]:
        return "backbone and head trained"
    adapters = entry("heads", spec["head"]["name"]).attributes["wraps_tail"]
    return "adapters in a frozen backbone" if adapters else "heads on frozen features"


def frame(resolved: Resolved, measured: dict[tuple[str, str, str], Measured]) -> pd.DataFrame:
    """The CSV: one row per method as printed.

    Columns: method, reference, backbone (of the measured run, else as printed), then for every data set really used and
    column (`1shot`; `6way_1shot`, `3s_1shot` where ways or durations vary) `<dataset>_<column>`, `..._ci95`, `..._gain`,
    `..._gain_ci95`, and for every data set of the paper `<dataset>_<column>_published`; percent, gains in points. Then the
    columns of `costs.columns`, if they were measured.
    """
    table, records = resolved.table, []
    for row in table.rows:
        own = [m.backbone for (method, _, _), m in measured.items() if method == row.method]
        record: dict[str, Any] = {"method": row.method, "reference": row.reference}
        record["backbone"] = own[0] if own else (row.backbone or table.backbone)
        for dataset in _columns(resolved):
            for column in table.columns:
                name = f"{dataset}_{column.name}"
                if dataset in resolved.behind.values():
                    cell = measured.get((row.method, dataset, column.name))
                    record[name] = cell and round(cell.accuracy.mean, 2)
                    record[f"{name}_ci95"] = cell and round(cell.accuracy.ci95, 2)
                    record[f"{name}_gain"] = cell and cell.gain and round(cell.gain.mean, 2)
                    record[f"{name}_gain_ci95"] = cell and cell.gain and round(cell.gain.ci95, 2)
                if dataset in table.datasets:
                    record[f"{name}_published"] = printed_number(row.published.get(dataset, {}).get(column.key))
        if resolved.complexity is not None:
            record |= costs.columns(table, row, resolved.complexity)
        records.append(record)
    return pd.DataFrame(records)


def write(resolved: Resolved, prefix: Path) -> None:
    """Write `<prefix>.csv`, `.md`, `.tex` and `.html`, each atomically."""
    measured, table = measure(resolved), resolved.table
    render.write(prefix, frame(resolved, measured), table.title, _blocks(resolved, measured), table.notes)


def markdown(resolved: Resolved, measured: dict[tuple[str, str, str], Measured]) -> str:
    """For reading: the measured table, with the printed number beside a measured one of the same data set, what its rows
    cost, then the printed table."""
    return render.markdown(resolved.table.title, _blocks(resolved, measured), resolved.table.notes)


def latex(resolved: Resolved, measured: dict[tuple[str, str, str], Measured]) -> str:
    """booktabs tables, one for each block of the Markdown."""
    return render.latex(_blocks(resolved, measured))


def _columns(resolved: Resolved) -> list[str]:
    """Data sets with columns, each once: those really used and those of the paper, in the paper's order."""
    order = [name for paper in resolved.table.datasets for name in (resolved.behind.get(paper), paper) if name]
    return list(dict.fromkeys(order))


def _blocks(resolved: Resolved, measured: dict[tuple[str, str, str], Measured]) -> list[Block]:
    """The measured table, the costs, the printed table; those that there are."""
    table = resolved.table
    blocks = [_measured_block(resolved, measured)] if resolved.runs else []
    if resolved.complexity is not None:
        blocks.append(costs.block(table, resolved.complexity))
    if any(row.published for row in table.rows):
        blocks.append(_printed_block(table))
    return blocks


def _measured_block(resolved: Resolved, measured: dict[tuple[str, str, str], Measured]) -> Block:
    table, used = resolved.table, list(dict.fromkeys(d for _, d, _ in resolved.runs))
    columns = [(d, column) for d in used for column in table.columns]
    header = ["Method", "Backbone"]
    for dataset, column in columns:
        header.append(f"{dataset} {column.label}")
        if dataset in table.datasets:
            header.append(f"{dataset} {column.label}, printed")
    body = []
    for row in table.rows:
        cells = {(d, column): measured.get((row.method, d, column.name)) for d, column in columns}
        if not any(cells.values()):
            continue
        line = [row.method, next(cell.backbone for cell in cells.values() if cell)]
        for (dataset, column), cell in cells.items():
            line.append(_cell(cell))
            if dataset in table.datasets:
                line.append(_printed(row, dataset, column))
        body.append(line)
    episodes = sorted({cell.accuracy.episodes for cell in measured.values()})
    trained = " or ".join(sorted({cell.trained for cell in measured.values()}))
    way = "N-way" if table.ways else f"{resolved.way}-way"
    source = f" of {resolved.behind[table.train_on]}" if table.train_on else ""
    caption = (
        f"Measured here: {way} accuracy in percent on {', '.join(used)}, {trained}{source}, mean ± 95 % interval over "
        f"{' or '.join(f'{count:,}' for count in episodes)} episodes shared by all methods"
    )
    if any(row.compare_to for row in table.rows):
        caption += (
            "; in parentheses the paired gain over the row that it is compared to (the plain metric, unless a note says "
            "otherwise) on the same episodes"
        )
    return Block(f"{caption}.", header, body)


def _printed_block(table: Table) -> Block:
    columns = [(d, column) for d in table.datasets for column in table.columns]
    # Only what differs between the rows has a column of its own.
    extra = {"Reference": [row.reference for row in table.rows]}
    extra["Backbone"] = [row.backbone or table.backbone for row in table.rows]
    extra = {name: values for name, values in extra.items() if len(set(values)) > 1}
    body = [
        [row.method, *(values[i] for values in extra.values()), *(_printed(row, d, column) for d, column in columns)]
        for i, row in enumerate(table.rows)
    ]
    caption = f"Printed in {table.where} (percent"
    if any("*" in cell for line in body for cell in line):
        caption += "; * as marked there: the authors' own run of another's method"
    return Block(f"{caption}).", ["Method", *extra, *(f"{d} {column.label}" for d, column in columns)], body)


def _cell(cell: Measured | None) -> str:
    if cell is None:
        return "-"
    text = f"{cell.accuracy.mean:.1f} ± {cell.accuracy.ci95:.1f}"
    return text if cell.gain is None else f"{text} ({cell.gain.mean:+.1f} ± {cell.gain.ci95:.1f})"


def _printed(row: Row, dataset: str, column: Column) -> str:
    value = row.published.get(dataset, {}).get(column.key)
    return "-" if value is None else str(value)
