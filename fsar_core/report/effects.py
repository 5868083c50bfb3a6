"""How much each module is worth: every row of a paper's tables that is compared to another, on the same test episodes.

Gains are differences in percentage points with 95 % intervals, paired on episodes, as in the tables. Beside them stands the
effect size d: the mean difference of an episode over its standard deviation (Cohen's d of paired samples), which does not grow
with the number of episodes. What the paper prints as a difference stands apart, under the name of its own data set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fsar_core.evaluation.results import read_queries
from fsar_core.evaluation.statistics import episode_accuracy, paired_difference
from fsar_core.figures.curves import drawing
from fsar_core.paper import printed_number, validate_table
from fsar_core.rendering import web

COLUMNS = ["table", "dataset", "column", "method", "over", "gain", "ci95", "d", "episodes"]
PER_PICTURE = 40  # lines; more are not read


def effects(tables: list[dict[str, Any]], runs: Path) -> pd.DataFrame:
    """One row a comparison: COLUMNS; equal comparisons of several tables once, under the first table's name.

    Args:
        tables: each name, table and cells of [method, data set, column, run id], as `fsar page` is given them.
    """
    rows, known, queries = [], set(), {}
    for spec in tables:
        name, table = spec["name"], validate_table(spec["table"], spec["name"])
        over = {row.method: row.compare_to for row in table.rows}
        labels = {column.name: column.label for column in table.columns}
        found = {(method, dataset, column): run for method, dataset, column, run in spec["cells"]}
        for (method, dataset, column), run in found.items():
            plain = found.get((over[method], dataset, column))
            if plain is None or (run, plain) in known:
                continue
            known.add((run, plain))
            for each in (run, plain):
                if each not in queries:
                    queries[each] = read_queries(runs / each)
            gain = paired_difference(queries[run], queries[plain])
            difference = episode_accuracy(queries[run]) - episode_accuracy(queries[plain])
            rows.append(
                (
                    name,
                    dataset,
                    labels[column],
                    method,
                    over[method],
                    gain.mean,
                    gain.ci95,
                    cohens_d(difference),
                    gain.episodes,
                )
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def cohens_d(difference: np.ndarray) -> float:
    """Mean over standard deviation; 0 where nothing differs, infinite where everything differs alike."""
    mean, deviation = difference.mean(), difference.std(ddof=1)
    return float(mean / deviation) if deviation > 0 else float(np.copysign(np.inf, mean)) if mean else 0.0


def printed(tables: list[dict[str, Any]]) -> list[tuple[str, str, str, str, str, float]]:
    """(table, data set of the paper, column, method, compared to, difference in points) wherever both numbers are printed."""
    found = []
    for spec in tables:
        name, table = spec["name"], validate_table(spec["table"], spec["name"])
        numbers = {row.method: row.published for row in table.rows if row.published}
        for row in table.rows:
            for dataset in row.published if row.compare_to in numbers else ():
                for column in table.columns:
                    pair = [
                        printed_number(numbers[m].get(dataset, {}).get(column.key))
                        for m in (row.method, row.compare_to)
                    ]
                    if None not in pair:
                        found.append(
                            (name, dataset, column.label, row.method, row.compare_to, round(pair[0] - pair[1], 2))
                        )
    return found


def page(paper: str, tables: list[dict[str, Any]], runs: Path) -> str:
    """The page: pictures and a table of what was measured, then a table of what is printed."""
    table = effects(tables, runs)
    parts = []
    if table.empty:
        parts.append(web.paragraph("No row of these tables is compared to another."))
    else:
        parts.append(
            web.paragraph(
                "Each line is a row of a table against the row that it is compared to, usually the plain metric: the "
                "difference of their accuracies on the same test episodes, with its 95 % interval. A module helps where "
                "the interval lies right of 0; where it holds 0 (pale), no difference is shown."
            )
        )
        for dataset, own in table.groupby("dataset", sort=False):
            parts.append(web.heading(f"Measured on {dataset}"))
            for start in range(0, len(own), PER_PICTURE):
                parts.append(web.picture(draw(own[start : start + PER_PICTURE]), f"Gains measured on {dataset}"))
        lines = [
            (r.method, r.over, r.dataset, r.column, f"{r.gain:+.1f} ± {r.ci95:.1f}", f"{r.d:+.2f}", called(r.table))
            for r in table.itertuples()
        ]
        header = ["Method", "over", "measured on", "at", "gain (points)", "effect size d", "table"]
        told = web.paragraph(
            "The effect size d is the mean gain of an episode over its standard deviation (Cohen's d of paired samples); "
            "it does not grow with the number of episodes. By convention 0.2 is small, 0.5 medium and 0.8 large."
        )
        parts.append(f'<div class="measured">{web.heading("All measured gains")}{told}{web.table(header, lines)}</div>')
    if in_print := printed(tables):
        lines = [(m, over, d, c, f"{gain:+.1f}", called(name)) for name, d, c, m, over, gain in in_print]
        told = web.paragraph(
            "Differences of printed accuracies, of the papers' data sets and settings; no intervals are printed."
        )
        header = ["Method", "over", "data set", "at", "difference (points)", "table"]
        parts.append(
            f'<div class="printed">{web.heading("Printed in the papers")}{told}{web.table(header, lines)}</div>'
        )
    return web.page(f"{paper.upper()}: what each module is worth", *parts)


def draw(table: pd.DataFrame):
    """A matplotlib figure: a line for every comparison, the gain with its interval; pale where it holds 0."""
    with drawing(**{"axes.grid.axis": "x"}) as pyplot:
        canvas, axes = pyplot.subplots(figsize=(8, 0.9 + 0.27 * len(table)), layout="constrained")
        for place, row in enumerate(table.itertuples()):
            sure = abs(row.gain) > row.ci95
            axes.errorbar(
                row.gain, place, xerr=row.ci95, fmt="o", ms=4, color="C0", alpha=1.0 if sure else 0.35, capsize=2
            )
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(table)), [_line(r) for r in table.itertuples()], fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel("gain (percentage points)")
        axes.margins(y=0.5 / max(len(table), 1))
    return canvas


def _line(row) -> str:
    return f"{called(row.table)}: {row.method} over {row.over}, {row.column}"


def called(table: str) -> str:
    """`x_table3` in words."""
    own = table.partition("_")[2] or table
    return f"Table {own.removeprefix('table')}" if own.startswith("table") else own
