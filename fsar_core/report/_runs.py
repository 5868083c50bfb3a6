"""Runs and trained models behind a paper's tables, with names that tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fsar_core.config import Model

if TYPE_CHECKING:
    from fsar_core.study import Study


class RunOfTable(Model):
    """A run, what it is tested on, and its method."""

    run: str
    dataset: str
    column: str
    method: str


class ModelOfTable(Model):
    """A trained model, what it is trained on, and its method."""

    model: str
    dataset: str
    shot: int
    method: str


def runs_of(study: Study, tables: Sequence[str]) -> list[RunOfTable]:
    """Return every run of the tables, in their order, each once."""
    runs: dict[str, tuple[str, dict[str, Any]]] = {}
    for table in tables:
        for cell in study.experiments.cells(table):
            about = {
                "run": cell.run.run_id,
                "dataset": cell.run.tested_on.dataset,
                "column": cell.column.label,
                "method": cell.row.method,
            }
            runs.setdefault(cell.run.run_id, (table, about))
    distinct = _with_distinct_methods(list(runs.values()), ("dataset", "column"))
    return [RunOfTable(**about) for about in distinct]


def models_of(study: Study, tables: Sequence[str]) -> list[ModelOfTable]:
    """Return every trained model behind the tables, in their order, each once."""
    models: dict[str, tuple[str, dict[str, Any]]] = {}
    for table in tables:
        for cell in study.experiments.cells(table):
            model = cell.run.model
            about = {
                "model": model.model_id,
                "dataset": model.features.dataset,
                "shot": model.train_shot,
                "method": cell.row.method,
            }
            models.setdefault(model.model_id, (table, about))
    distinct = _with_distinct_methods(list(models.values()), ("dataset", "shot"))
    return [ModelOfTable(**about) for about in distinct]


def _with_distinct_methods(
    entries: list[tuple[str, dict[str, Any]]], keys: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Add the number of the table to methods of one name in one group.

    Args:
        entries: (table, about).
        keys: that entries of a group have in common.
    """

    def label(about: dict[str, Any]) -> tuple:
        return (about["method"], *(about[key] for key in keys))

    count = Counter(label(about) for _, about in entries)
    distinct = []
    for table, about in entries:
        if count[label(about)] > 1:
            about = about | {"method": f"{about['method']} ({table.split('_')[-1]})"}
        distinct.append(about)
    return distinct
