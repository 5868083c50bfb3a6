"""The measured numbers of a table of accuracies, and its CSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from fsar_core.components.registry import entry
from fsar_core.errors import FsarError
from fsar_core.evaluation.results import read_queries, read_summary
from fsar_core.evaluation.statistics import Estimate, paired_difference
from fsar_core.papers.kinds import TableInputs
from fsar_core.papers.models import printed_number
from fsar_core.tables.accuracy import costs
from fsar_core.tables.accuracy.model import AccuracyModel, Row


@dataclass(frozen=True)
class Measured:
    """One measured cell: accuracy, and the paired gain over the row it is compared to."""

    accuracy: Estimate
    gain: Estimate | None
    backbone: str
    trained: str = "heads on frozen features"


# (method, data set really used, name of the column) -> its number.
Cells = Mapping[tuple[str, str, str], Measured]


def measure(table: AccuracyModel, inputs: TableInputs) -> Cells:
    """Read every run's summary and single queries."""
    queries = cache(read_queries)
    rows = {row.method: row for row in table.rows}
    measured = {}
    for (method, dataset, column), run in inputs.runs.items():
        if method not in rows:
            raise FsarError(f"{inputs.name}: a run for the row '{method}', which the table lacks")
        summary = read_summary(run)
        plain = inputs.runs.get((rows[method].compare_to, dataset, column))
        gain = None if plain is None else paired_difference(queries(run), queries(plain))
        measured[method, dataset, column] = Measured(
            accuracy=Estimate(summary["accuracy"], summary["ci95"], summary["episodes"]),
            gain=gain,
            backbone=summary["backbone"],
            trained=_trained(summary["spec"]),
        )
    return measured


def _trained(spec: dict[str, Any]) -> str:
    """Return what a run trains, in words."""
    if spec["train_tail"]:
        return "backbone and head trained"
    adapters = entry("heads", spec["head"]["name"]).attributes["wraps_tail"]
    return "adapters in a frozen backbone" if adapters else "heads on frozen features"


def frame(table: AccuracyModel, inputs: TableInputs, measured: Cells) -> pd.DataFrame:
    """Return the CSV: one row for each method as printed.

    Columns: method, reference, backbone (of the measured run, else as printed), then for every data
    set really used and column (`1shot`; `6way_1shot`, `3s_1shot` where ways or durations vary)
    `<dataset>_<column>`, `..._ci95`, `..._gain`, `..._gain_ci95`, and for every data set of the
    paper `<dataset>_<column>_published`; percent, gains in points. Then the columns of
    `costs.columns`, if they were measured.
    """
    return pd.DataFrame([_record(table, inputs, measured, row) for row in table.rows])


def _record(table: AccuracyModel, inputs: TableInputs, measured: Cells, row: Row) -> dict[str, Any]:
    own = [cell.backbone for (method, _, _), cell in measured.items() if method == row.method]
    backbone = own[0] if own else (row.backbone or table.backbone)
    record: dict[str, Any] = {"method": row.method, "reference": row.reference}
    record["backbone"] = backbone
    for dataset in _datasets(table, inputs):
        for column in table.columns:
            name = f"{dataset}_{column.name}"
            if dataset in inputs.behind.values():
                cell = measured.get((row.method, dataset, column.name))
                record |= _numbers(name, cell)
            if dataset in table.datasets:
                printed = row.published.get(dataset, {}).get(column.key)
                record[f"{name}_published"] = printed_number(printed)
    if inputs.complexity is not None:
        record |= costs.columns(table, row, inputs.complexity)
    return record


def _numbers(name: str, cell: Measured | None) -> dict[str, float | None]:
    """Return the columns of one measured cell."""
    accuracy = cell and cell.accuracy
    gain = cell and cell.gain
    return {
        name: accuracy and round(accuracy.mean, 2),
        f"{name}_ci95": accuracy and round(accuracy.ci95, 2),
        f"{name}_gain": gain and round(gain.mean, 2),
        f"{name}_gain_ci95": gain and round(gain.ci95, 2),
    }


def _datasets(table: AccuracyModel, inputs: TableInputs) -> list[str]:
    """Return data sets with columns: those really used and those of the paper, in its order."""
    names: list[str] = []
    for paper in table.datasets:
        names += [inputs.behind[paper], paper] if paper in inputs.behind else [paper]
    return list(dict.fromkeys(names))
