"""Accuracy of every class, and the confusions between classes, of every run of a paper's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from fsar_core.evaluation.results import read_queries, read_summary
from fsar_core.evaluation.statistics import class_accuracies, confusion
from fsar_core.papers.kinds import Page
from fsar_core.rendering import html
from fsar_core.report._runs import RunOfTable, runs_of

if TYPE_CHECKING:
    from fsar_core.study import Study

MOST_CONFUSIONS = 3  # that are named in words


class ClassesPage(Page):
    """For each data set and kind of test: a table of classes and methods, and confusion matrices.

    Attributes:
        runs_folder: of all runs.
    """

    title: ClassVar[str] = "Classes: accuracy of each, and what it is taken for"
    caption: ClassVar[str] = (
        "Accuracy of every test class for every method, with 95 % intervals, and what its queries "
        "were taken for instead."
    )

    runs: list[RunOfTable]
    runs_folder: Path

    @classmethod
    def gather(cls, study: Study, tables: Sequence[str]) -> ClassesPage:
        return cls(runs=runs_of(study, tables), runs_folder=study.config.roots.results / "runs")

    def render(self, paper: str) -> str:
        parts = [
            html.paragraph(
                "Accuracies in percent with 95 % intervals over the queries of a class; the "
                "darker, the better. Classes are ordered by the mean of all methods. Below them, "
                "for every method, what its queries were taken for: rows are the true classes and "
                "add up to 100, the diagonal is the accuracy. An episode has a few of the classes "
                "only, so that two classes can be confused only where they meet."
            )
        ]
        groups: dict[tuple[str, str], dict[str, str]] = {}
        for about in self.runs:
            groups.setdefault((about.dataset, about.column), {})[about.run] = about.method
        for (dataset, column), methods in groups.items():
            parts.append(html.heading(f"{dataset}, {column}"))
            parts += _group(methods, self.runs_folder)
        return html.page(f"{paper.upper()}: classes and confusions", *parts)


def confusions(counts: np.ndarray, names: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return the most frequent confusions, the largest share first.

    Args:
        counts: [classes classes], true classes in rows.

    Returns:
        (class, taken for, share of the class's queries in 0..1).
    """
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    np.fill_diagonal(shares, 0.0)
    order = np.argsort(-shares, axis=None, kind="stable")[:MOST_CONFUSIONS]
    pairs = zip(*np.unravel_index(order, shares.shape))
    return [(names[a], names[b], float(shares[a, b])) for a, b in pairs if shares[a, b] > 0]


def _group(methods: Mapping[str, str], folder: Path) -> list[str]:
    """Return the parts about runs on the same test episodes.

    Args:
        methods: run id -> method.
    """
    names = read_summary(folder / next(iter(methods)))["class_names"]
    tables, matrices = {}, []
    for run, method in methods.items():
        queries = read_queries(folder / run)
        tables[run] = class_accuracies(queries).set_index("class")
        counts = confusion(queries, len(names))
        matrices.append(
            html.folded(_confusions_text(method, counts, names), _matrix(counts, names))
        )
    means = pd.concat([table.accuracy for table in tables.values()], axis=1).mean(axis=1)
    rows = []
    for number in means.sort_values(ascending=False, kind="stable").index:
        cells = [table.loc[number] if number in table.index else None for table in tables.values()]
        shares = [None if cell is None else cell.accuracy / 100 for cell in cells]
        texts = ["" if cell is None else f"{cell.accuracy:.0f} ± {cell.ci95:.0f}" for cell in cells]
        rows.append((names[number], shares, texts))
    return [html.heat("class", list(methods.values()), rows), *matrices]


def _confusions_text(method: str, counts: np.ndarray, names: Sequence[str]) -> str:
    pairs = confusions(counts, names)
    if not pairs:
        return f"{method}: no query was wrong"
    listed = "; ".join(f"{true} for {taken} ({share:.0%})" for true, taken, share in pairs)
    return f"{method}: most often taken: {listed}"


def _matrix(counts: np.ndarray, names: Sequence[str]) -> str:
    """Return a confusion matrix in percent of the rows."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    rows = []
    for name, own in zip(names, shares):
        rows.append((name, own.tolist(), [f"{100 * share:.0f}" if share else "" for share in own]))
    return html.heat("true class, taken for", names, rows)
