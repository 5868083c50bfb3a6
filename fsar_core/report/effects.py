"""How much each module is worth: every row that is compared to another, on the same test episodes.

Gains are differences in percentage points with 95 % intervals, paired on episodes, as in the
tables. Beside them stands the effect size d: the mean difference of an episode over its standard
deviation (Cohen's d of paired samples), which does not grow with the number of episodes. Printed
differences stand apart, under the name of the paper's own data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from fsar_core.config import Model
from fsar_core.evaluation.results import read_queries
from fsar_core.evaluation.statistics import episode_accuracy, paired_difference
from fsar_core.papers.kinds import Page
from fsar_core.papers.models import printed_number
from fsar_core.rendering import html
from fsar_core.rendering.drawing import drawing
from fsar_core.tables.accuracy import AccuracyTable

if TYPE_CHECKING:
    from fsar_core.study import Study

COLUMNS = ["table", "dataset", "column", "method", "over", "gain", "ci95", "d", "episodes"]
PER_PICTURE = 40  # lines; more cannot be read
PALE = 0.35  # opacity where the interval includes 0


class ComparedTable(Model):
    """A table without the rows and keys that no comparison needs.

    Attributes:
        cells: (method, card, name of the column, run id).
    """

    name: str
    table: dict[str, Any]
    cells: list[tuple[str, str, str, str]]

    @property
    def model(self) -> AccuracyTable:
        """The table, validated."""
        return AccuracyTable.model_validate(self.table)


class EffectsPage(Page):
    """Pictures and a table of measured gains, then a table of printed ones.

    Attributes:
        runs_folder: of all runs.
    """

    title: ClassVar[str] = "Effects: what each module is worth"
    caption: ClassVar[str] = (
        "What each module is worth: the gain of a row over the row that it is compared to, on the "
        "same test episodes, with its 95 % interval and effect size. Differences that the paper "
        "prints stand apart."
    )

    tables: list[ComparedTable]
    runs_folder: Path

    @classmethod
    def gather(cls, study: Study, tables: Sequence[str]) -> EffectsPage:
        accuracies = [name for name in tables if isinstance(study.table(name), AccuracyTable)]
        compared = [_compared(study, name) for name in accuracies if study.experiments.cells(name)]
        return cls(tables=compared, runs_folder=study.config.roots.results / "runs")

    def render(self, paper: str) -> str:
        measured = effects(self.tables, self.runs_folder)
        parts = _measured_parts(measured)
        printed = printed_effects(self.tables)
        if printed:
            parts.append(_printed_part(printed))
        return html.page(f"{paper.upper()}: what each module is worth", *parts)


def _compared(study: Study, name: str) -> ComparedTable:
    table = study.table(name)
    methods = {row.compare_to for row in table.rows}
    methods |= {row.method for row in table.rows if row.compare_to}
    unused = {"head", "matching", "printed_cost"}
    rows = [
        row.model_dump(mode="json", exclude_defaults=True, exclude=unused)
        for row in table.rows
        if row.method in methods
    ]
    plain = table.model_dump(mode="json", exclude_defaults=True, exclude={"rows", "notes", "cost"})
    cells = [
        (cell.row.method, cell.run.tested_on.dataset, cell.column.name, cell.run.run_id)
        for cell in study.experiments.cells(name)
        if cell.row.method in methods
    ]
    return ComparedTable(
        name=name,
        table=plain | {"kind": "accuracy", "rows": rows},
        cells=list(dict.fromkeys(cells)),
    )


def effects(tables: Sequence[ComparedTable], runs: Path) -> pd.DataFrame:
    """Return one row for each comparison, with COLUMNS.

    Equal comparisons of several tables are returned once, under the first table's name.

    Args:
        runs: the folder of all runs.
    """
    queries = cache(lambda run: read_queries(runs / run))
    rows, known = [], set()
    for compared in tables:
        table = compared.model
        over = {row.method: row.compare_to for row in table.rows}
        labels = {column.name: column.label for column in table.columns}
        by_place = {tuple(place): run for *place, run in compared.cells}
        for (method, dataset, column), run in by_place.items():
            plain = by_place.get((over[method], dataset, column))
            if plain is None or (run, plain) in known:
                continue
            known.add((run, plain))
            gain = paired_difference(queries(run), queries(plain))
            difference = episode_accuracy(queries(run)) - episode_accuracy(queries(plain))
            place = (compared.name, dataset, labels[column], method, over[method])
            rows.append((*place, gain.mean, gain.ci95, cohens_d(difference), gain.episodes))
    return pd.DataFrame(rows, columns=COLUMNS)


def cohens_d(difference: np.ndarray) -> float:
    """Return mean over standard deviation.

    0 where nothing differs, infinite where all episodes differ alike.
    """
    mean, deviation = difference.mean(), difference.std(ddof=1)
    if deviation > 0:
        return float(mean / deviation)
    return float(np.copysign(np.inf, mean)) if mean else 0.0


class PrintedEffect(NamedTuple):
    """A difference of two printed numbers, in points."""

    table: str
    dataset: str
    column: str
    method: str
    over: str
    difference: float


def printed_effects(tables: Sequence[ComparedTable]) -> list[PrintedEffect]:
    """Return the differences wherever both numbers are printed."""
    differences = []
    for compared in tables:
        table = compared.model
        published = {row.method: row.published for row in table.rows if row.published}
        for row in table.rows:
            if row.compare_to not in published:
                continue
            for dataset in row.published:
                for column in table.columns:
                    own, plain = (
                        printed_number(published[method].get(dataset, {}).get(column.key))
                        for method in (row.method, row.compare_to)
                    )
                    if own is None or plain is None:
                        continue
                    place = (compared.name, dataset, column.label, row.method, row.compare_to)
                    differences.append(PrintedEffect(*place, round(own - plain, 2)))
    return differences


def _measured_parts(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return [html.paragraph("No row of these tables is compared to another.")]
    parts = [
        html.paragraph(
            "Each line is a row of a table against the row that it is compared to, usually the "
            "plain metric: the difference of their accuracies on the same test episodes, with its "
            "95 % interval. A module helps where the interval lies right of 0; where it holds 0 "
            "(pale), no difference is shown."
        )
    ]
    for dataset, own in table.groupby("dataset", sort=False):
        parts.append(html.heading(f"Measured on {dataset}"))
        for start in range(0, len(own), PER_PICTURE):
            canvas = draw(own[start : start + PER_PICTURE])
            parts.append(html.picture(canvas, f"Gains measured on {dataset}"))
    lines = [
        (
            row.method,
            row.over,
            row.dataset,
            row.column,
            f"{row.gain:+.1f} ± {row.ci95:.1f}",
            f"{row.d:+.2f}",
            table_title(row.table),
        )
        for row in table.itertuples()
    ]
    header = ["Method", "over", "measured on", "at", "gain (points)", "effect size d", "table"]
    about = html.paragraph(
        "The effect size d is the mean gain of an episode over its standard deviation (Cohen's d "
        "of paired samples); it does not grow with the number of episodes. By convention 0.2 is "
        "small, 0.5 medium and 0.8 large."
    )
    heading = html.heading("All measured gains")
    parts.append(f'<div class="measured">{heading}{about}{html.table(header, lines)}</div>')
    return parts


def _printed_part(printed: Sequence[PrintedEffect]) -> str:
    lines = [
        (
            effect.method,
            effect.over,
            effect.dataset,
            effect.column,
            f"{effect.difference:+.1f}",
            table_title(effect.table),
        )
        for effect in printed
    ]
    about = html.paragraph(
        "Differences of printed accuracies, of the papers' data sets and settings; no intervals are printed."
    )
    header = ["Method", "over", "data set", "at", "difference (points)", "table"]
    heading = html.heading("Printed in the papers")
    return f'<div class="printed">{heading}{about}{html.table(header, lines)}</div>'


def draw(table: pd.DataFrame):
    """Draw a line for every comparison: the gain with its interval, pale where it includes 0."""
    with drawing(**{"axes.grid.axis": "x"}) as pyplot:
        size = (8, 0.9 + 0.27 * len(table))
        canvas, axes = pyplot.subplots(figsize=size, layout="constrained")
        for position, row in enumerate(table.itertuples()):
            is_certain = abs(row.gain) > row.ci95
            style = dict(fmt="o", ms=4, color="C0", capsize=2, alpha=1.0 if is_certain else PALE)
            axes.errorbar(row.gain, position, xerr=row.ci95, **style)
        axes.axvline(0, color="black", linewidth=0.8)
        labels = [
            f"{table_title(row.table)}: {row.method} over {row.over}, {row.column}"
            for row in table.itertuples()
        ]
        axes.set_yticks(range(len(table)), labels, fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel("gain (percentage points)")
        axes.margins(y=0.5 / max(len(table), 1))
    return canvas


def table_title(name: str) -> str:
    """Return the name of a table as people say it.

    Example:
        >>> table_title("dmgal_table3")
        'Table 3'
    """
    own = name.partition("_")[2] or name
    return f"Table {own.removeprefix('table')}" if own.startswith("table") else own
