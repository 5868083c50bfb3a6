"""What a paper's pages in the report are made of, as plain data for `fsar page`. Torch-free.

Every page is given no more than it needs: the text is part of a shell command, which takes 128 KiB.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from fsar_core.study import Study

# Kinds of pages, and what the report calls them.
PAGES = {
    "data": "Data: what was run on which videos, and what could not be used",
    "training": "Training: loss and validation accuracy of every model",
    "classes": "Classes: accuracy of each, and what it is taken for",
    "effects": "Effects: what each module is worth",
    "times": "Times: how long the jobs took",
}


def papers(study: Study) -> list[str]:
    """Names of the papers: `x` of the tables `x_table<n>`."""
    return sorted({name.partition("_table")[0] for name in study.table_names if "_table" in name})


def tables_of(study: Study, paper: str) -> list[str]:
    """Names of a paper's tables, and of those that only this project makes for it."""
    return [name for name in study.table_names if name.startswith(f"{paper}_")]


def figures_of(study: Study, paper: str) -> list[str]:
    """Names of a paper's figures, and of those that only this project draws for it."""
    return [name for name in study.figure_names if name.startswith(f"{paper}_")]


def contents(study: Study, paper: str, kind: str, tables: list[str]) -> dict[str, Any]:
    """The spec of a page.

    Args:
        kind: one of PAGES.
        tables: names of the paper's tables.
    """
    results = study.config.roots.results
    spec: dict[str, Any] = {"runs_folder": str(results / "runs"), "models_folder": str(results / "models")}
    if kind == "data":
        names = list(dict.fromkeys(name for table in tables for name in study.experiments.named_in(study.table(table))))
        spec |= {"behind": {name: study.behind(name) for name in names}, "datasets": _cards(study, tables)}
        spec |= {"preset": study.config.preset, "seed": study.config.seed}
        spec["runs"] = [own["run"] for own in runs(study, tables)]
    elif kind == "training":
        spec["models"] = models(study, tables)
    elif kind == "classes":
        spec["runs"] = runs(study, tables)
    elif kind == "effects":
        spec["tables"] = [_compared(study, name) for name in tables if study.experiments.cells(name)]
    else:
        spec["benchmarks"] = str(results / "benchmarks")
    return spec


def runs(study: Study, tables: list[str]) -> list[dict[str, Any]]:
    """Every run of the tables, in their order: what it is tested on, at which column, and its method, told apart from others of
    the same name."""
    found = {}
    for table in tables:
        for cell in study.experiments.cells(table):
            own = {"dataset": cell.run.tested_on.dataset, "column": cell.column.label, "method": cell.row.method}
            found.setdefault(cell.run.run_id, (table, {"run": cell.run.run_id, **own}))
    return _told_apart(list(found.values()), ("dataset", "column"))


def models(study: Study, tables: list[str]) -> list[dict[str, Any]]:
    """Every training behind the tables, in their order: on what, at which shot, and its method."""
    found = {}
    for table in tables:
        for cell in study.experiments.cells(table):
            model = cell.run.model
            own = {"dataset": model.features.dataset, "shot": model.train_shot, "method": cell.row.method}
            found.setdefault(model.model_id, (table, {"model": model.model_id, **own}))
    return _told_apart(list(found.values()), ("dataset", "shot"))


def _told_apart(found: list[tuple[str, dict[str, Any]]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Methods of one name in one group get the number of their table, too."""

    def label(own: dict[str, Any]) -> tuple:
        return (own["method"], *(own[key] for key in keys))

    count = Counter(label(own) for _, own in found)
    return [
        own if count[label(own)] == 1 else own | {"method": f"{own['method']} ({table.split('_')[-1]})"}
        for table, own in found
    ]


def _compared(study: Study, name: str) -> dict[str, Any]:
    """A table and its cells, without what no comparison needs."""
    table = study.table(name)
    compared = {row.compare_to for row in table.rows} | {row.method for row in table.rows if row.compare_to}
    rows = [
        row.model_dump(mode="json", exclude_defaults=True, exclude={"head", "matching", "printed_cost"})
        for row in table.rows
        if row.method in compared
    ]
    plain = table.model_dump(mode="json", exclude_defaults=True, exclude={"rows", "notes", "cost"}) | {
        "kind": "accuracy"
    }
    cells = [
        (c.row.method, c.run.tested_on.dataset, c.column.name, c.run.run_id)
        for c in study.experiments.cells(name)
        if c.row.method in compared
    ]
    return {"name": name, "table": plain | {"rows": rows}, "cells": list(dict.fromkeys(cells))}


def _cards(study: Study, tables: list[str]) -> dict[str, Any]:
    """The cards behind the tables: what they say, their clip indices, the frame stores that were made of them."""
    found: dict[str, Any] = {}
    names = [study.behind(name) for table in tables for name in study.experiments.named_in(study.table(table))]
    for name in dict.fromkeys(names):
        card = study.dataset(name).card
        found[name] = {key: getattr(card, key) for key in ("title", "source", "licence", "max_failures")}
        found[name] |= {"index": str(study.paths.index(name)), "frames": []}
    for spec in {
        s.key: s
        for t in tables
        for c in study.experiments.cells(t)
        for s in (c.run.features.frames, c.run.tested_on.frames)
    }.values():
        found[spec.dataset]["frames"].append(str(study.paths.store(spec)))
    return found
