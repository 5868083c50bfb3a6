"""Accuracy class by class, and what is taken for what, of every run behind a paper's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fsar_core.evaluation.results import read_queries, read_summary
from fsar_core.evaluation.statistics import class_accuracies, confusion
from fsar_core.rendering import web

MOST = 3  # confusions that are named in words


def confused(counts: np.ndarray, names: list[str]) -> list[tuple[str, str, float]]:
    """The most frequent confusions: (class, taken for, share of the class's queries in 0..1), the largest share first."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    np.fill_diagonal(shares, 0.0)
    order = np.argsort(-shares, axis=None, kind="stable")[:MOST]
    places = zip(*np.unravel_index(order, shares.shape))
    return [(names[a], names[b], float(shares[a, b])) for a, b in places if shares[a, b] > 0]


def page(paper: str, runs: list[dict[str, Any]], folder: Path) -> str:
    """The page: of every data set and kind of test, a table of classes and methods, then a confusion matrix for each run.

    Args:
        runs: each run (its id), dataset, column and method.
        folder: of all runs.
    """
    parts = [
        web.paragraph(
            "Accuracies in percent with 95 % intervals over the queries of a class; the darker, the better. Classes are "
            "ordered by the mean of all methods. Below them, for every method, what its queries were taken for: rows are "
            "the true classes and add up to 100, the diagonal is the accuracy. An episode has a few of the classes only, so "
            "that two classes can be confused only where they meet."
        )
    ]
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for about in runs:
        groups.setdefault((about["dataset"], about["column"]), {})[about["run"]] = about["method"]
    for (dataset, column), own in groups.items():
        parts += [web.heading(f"{dataset}, {column}"), *_group(own, folder)]
    return web.page(f"{paper.upper()}: classes and confusions", *parts)


def _group(methods: dict[str, str], folder: Path) -> list[str]:
    """Runs on the same test episodes."""
    names = read_summary(folder / next(iter(methods)))["class_names"]
    tables, matrices = {}, []
    for run, method in methods.items():
        queries = read_queries(folder / run)
        tables[run] = class_accuracies(queries).set_index("class")
        counts = confusion(queries, len(names))
        told = "; ".join(f"{a} for {b} ({share:.0%})" for a, b, share in confused(counts, names))
        matrices.append(
            web.folded(
                f"{method}: most often taken: {told}" if told else f"{method}: no query was wrong",
                _matrix(counts, names),
            )
        )
    means = pd.concat([table.accuracy for table in tables.values()], axis=1).mean(axis=1)
    rows = []
    for number in means.sort_values(ascending=False, kind="stable").index:
        cells = [table.loc[number] if number in table.index else None for table in tables.values()]
        shares = [None if cell is None else cell.accuracy / 100 for cell in cells]
        rows.append((names[number], shares, ["" if c is None else f"{c.accuracy:.0f} ± {c.ci95:.0f}" for c in cells]))
    return [web.heat("class", list(methods.values()), rows), *matrices]


def _matrix(counts: np.ndarray, names: list[str]) -> str:
    totals = np.maximum(counts.sum(1, keepdims=True), 1)
    shares = counts / totals
    rows = [
        (name, shares[i].tolist(), [f"{100 * s:.0f}" if s else "" for s in shares[i]]) for i, name in enumerate(names)
    ]
    return web.heat("true class, taken for", names, rows)
