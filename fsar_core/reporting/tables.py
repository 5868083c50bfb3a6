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
from tabulate import tabulate

from fsar_core.config import Row, Table, printed_number
from fsar_core.evaluation.statistics import Estimate, paired_difference
from fsar_core.provenance import atomic_write
from fsar_core.stores.manifest import read_json

PLUS_MINUS_TEX = r"$\pm$"
TEX = {sign: "\\" + sign for sign in "&%#_${}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclass(frozen=True)
class Measured:
    """One measured cell: accuracy, and the paired gain over the row it is compared to."""

    accuracy: Estimate
    gain: Estimate | None
    backbone: str
    train_tail: bool = False


@dataclass(frozen=True)
class Resolved:
    """A table with what stands behind it.

    Attributes:
        behind: paper data set -> data set really used.
        runs: (method, data set really used, shot) -> folder of the run.
        way: of the test episodes.
    """

    name: str
    table: Table
    behind: dict[str, str]
    runs: dict[tuple[str, str, int], Path]
    way: int


def measure(resolved: Resolved) -> dict[tuple[str, str, int], Measured]:
    """Read every run's summary and single queries."""
    queries: dict[Path, pd.DataFrame] = {}

    def of(run: Path) -> pd.DataFrame:
        if run not in queries:
            queries[run] = pd.read_csv(run / "queries.csv.gz")
        return queries[run]

    rows = {row.method: row for row in resolved.table.rows}
    found = {}
    for (method, dataset, shot), run in resolved.runs.items():
        summary = read_json(run / "summary.json", "run snakemake to test this run")
        plain = resolved.runs.get((rows[method].compare_to, dataset, shot))
        gain = paired_difference(of(run), of(plain)) if plain is not None else None
        accuracy = Estimate(summary["accuracy"], summary["ci95"], summary["episodes"])
        found[method, dataset, shot] = Measured(accuracy, gain, summary["backbone"], summary["spec"]["train_tail"])
    return found


def frame(resolved: Resolved, measured: dict[tuple[str, str, int], Measured]) -> pd.DataFrame:
    """The CSV: one row per method as printed.

    Columns: method, reference, backbone (of the measured run, else as printed), then for every data set really used and
    shot `<dataset>_<k>shot`, `..._ci95`, `..._gain`, `..._gain_ci95`, and for every data set of the paper
    `<dataset>_<k>shot_published`; percent, gains in points.
    """
    table, records = resolved.table, []
    for row in table.rows:
        own = [m.backbone for (method, _, _), m in measured.items() if method == row.method]
        record: dict[str, Any] = {"method": row.method, "reference": row.reference}
        record["backbone"] = own[0] if own else (row.backbone or table.backbone)
        for dataset in _columns(resolved):
            for shot in table.shots:
                name = f"{dataset}_{shot}shot"
                if dataset in resolved.behind.values():
                    cell = measured.get((row.method, dataset, shot))
                    record[name] = cell and round(cell.accuracy.mean, 2)
                    record[f"{name}_ci95"] = cell and round(cell.accuracy.ci95, 2)
                    record[f"{name}_gain"] = cell and cell.gain and round(cell.gain.mean, 2)
                    record[f"{name}_gain_ci95"] = cell and cell.gain and round(cell.gain.ci95, 2)
                if dataset in table.datasets:
                    record[f"{name}_published"] = printed_number(row.published.get(dataset, {}).get(shot))
        records.append(record)
    return pd.DataFrame(records)


def write(resolved: Resolved, prefix: Path) -> None:
    """Write `<prefix>.csv`, `.md` and `.tex`, each atomically."""
    measured = measure(resolved)
    with atomic_write(prefix.with_suffix(".csv")) as stream:
        frame(resolved, measured).to_csv(stream, index=False, lineterminator="\n")
    with atomic_write(prefix.with_suffix(".md")) as stream:
        stream.write(markdown(resolved, measured))
    with atomic_write(prefix.with_suffix(".tex")) as stream:
        stream.write(latex(resolved, measured))


def markdown(resolved: Resolved, measured: dict[tuple[str, str, int], Measured]) -> str:
    """For reading: the measured table, with the printed number beside a measured one of the same data set, then the
    printed table."""
    parts = [f"# {resolved.table.title}\n"]
    for caption, header, body in _blocks(resolved, measured, "±"):
        parts.append(f"{caption}\n\n{tabulate(body, header, tablefmt='github', disable_numparse=True)}\n")
    if resolved.table.notes:
        parts.append("Notes\n\n" + "\n".join(f"- {note}" for note in resolved.table.notes) + "\n")
    return "\n".join(parts)


def latex(resolved: Resolved, measured: dict[tuple[str, str, int], Measured]) -> str:
    """booktabs tables, one for each block of the Markdown."""
    parts = []
    for caption, header, body in _blocks(resolved, measured, PLUS_MINUS_TEX):
        grid = tabulate(
            [[_tex(cell) for cell in line] for line in body],
            [_tex(cell) for cell in header],
            tablefmt="latex_raw",
            disable_numparse=True,
        )
        rules = iter((r"\toprule", r"\midrule", r"\bottomrule"))
        lines = [next(rules) if line == r"\hline" else line for line in grid.splitlines()]
        parts.append(
            "\n".join([r"\begin{table}", rf"\caption{{{_tex(caption)}}}", r"\centering", *lines, r"\end{table}", ""])
        )
    return "\n".join(["% needs \\usepackage{booktabs}", *parts])


def _columns(resolved: Resolved) -> list[str]:
    """Data sets with columns, each once: those really used and those of the paper, in the paper's order."""
    order = [name for paper in resolved.table.datasets for name in (resolved.behind.get(paper), paper) if name]
    return list(dict.fromkeys(order))


def _blocks(resolved: Resolved, measured, plus_minus: str) -> list[tuple[str, list[str], list[list[str]]]]:
    """(caption, header, rows) of the measured and of the printed table."""
    table, used = resolved.table, list(dict.fromkeys(d for _, d, _ in resolved.runs))
    blocks = []
    if used:
        columns = [(d, k) for d in used for k in table.shots]
        header = ["Method", "Backbone"]
        for dataset, shot in columns:
            header.append(f"{dataset} {shot}-shot")
            if dataset in table.datasets:
                header.append(f"{dataset} {shot}-shot, printed")
        body = []
        for row in table.rows:
            cells = {(d, k): measured.get((row.method, d, k)) for d, k in columns}
            if not any(cells.values()):
                continue
            line = [row.method, next(cell.backbone for cell in cells.values() if cell)]
            for (dataset, shot), cell in cells.items():
                line.append(_cell(cell, plus_minus))
                if dataset in table.datasets:
                    line.append(_printed(row, dataset, shot))
            body.append(line)
        episodes = sorted({cell.accuracy.episodes for cell in measured.values()})
        trained = (
            "backbone and head trained" if any(c.train_tail for c in measured.values()) else "heads on frozen features"
        )
        caption = (
            f"Measured here: {resolved.way}-way accuracy in percent on {', '.join(used)}, {trained}, "
            f"mean {plus_minus} 95 % interval over "
            f"{' or '.join(f'{count:,}' for count in episodes)} episodes shared by all methods; in parentheses the paired gain "
            f"over the row that it is compared to (the plain metric, unless a note says otherwise) on the same episodes."
        )
        blocks.append((caption, header, body))
    if any(row.published for row in table.rows):
        columns = [(d, k) for d in table.datasets for k in table.shots]
        header = ["Method", "Reference", *(f"{d} {k}-shot" for d, k in columns)]
        body = [[row.method, row.reference, *(_printed(row, d, k) for d, k in columns)] for row in table.rows]
        caption = f"Printed in {table.where} (percent; * as marked there: the authors' own run of another's method)."
        blocks.append((caption, header, body))
    return blocks


def _cell(cell: Measured | None, plus_minus: str) -> str:
    if cell is None:
        return "-"
    text = f"{cell.accuracy.mean:.1f} {plus_minus} {cell.accuracy.ci95:.1f}"
    return text if cell.gain is None else f"{text} ({cell.gain.mean:+.1f} {plus_minus} {cell.gain.ci95:.1f})"


def _printed(row: Row, dataset: str, shot: int) -> str:
    value = row.published.get(dataset, {}).get(shot)
    return "-" if value is None else str(value)


def _tex(text: str) -> str:
    """Text with LaTeX's own characters escaped; the formulas of `_blocks` (`$\\pm$`) are left alone."""
    parts = text.split(PLUS_MINUS_TEX)
    return PLUS_MINUS_TEX.join("".join(TEX.get(sign, sign) for sign in part) for part in parts)
