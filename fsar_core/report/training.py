"""Training curves: the loss and the accuracy on validation episodes of every model behind a paper's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from fsar_core.errors import FsarError
from fsar_core.figures.curves import MARKERS, drawing
from fsar_core.rendering import web
from fsar_core.storage.bindings import remake


def histories(models: list[dict[str, Any]], folder: Path) -> pd.DataFrame:
    """One row a validation: model, dataset, shot, method and the columns of history.csv.

    Args:
        models: each model (its id), dataset, shot and method.
        folder: of all models.
    """
    tables = [_history(folder / about["model"]).assign(**about) for about in models]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _history(model: Path) -> pd.DataFrame:
    """history.csv of a model's folder. FsarError where it is another model's."""
    path = model / "history.csv"
    table = pd.read_csv(path)
    # Histories from before their column `model` are read as they are.
    others = set(table.get("model", ())) - {model.name}
    if others:
        raise FsarError(
            f"{path}: the history of {others.pop()}, expected that of {model.name}; {remake('train_head', path)}"
        )
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a model: episodes in all, those before the best validation (the first of equal ones) and its accuracy, the last
    loss, seconds of the training."""
    rows = []
    for model, own in table.groupby("model", sort=False):
        best, last = own.loc[own.val_accuracy.idxmax()], own.iloc[-1]
        rows.append(
            {
                "model": model,
                "method": last.method,
                "dataset": last.dataset,
                "shot": last.shot,
                "episodes": int(last.episodes),
                "best_episodes": int(best.episodes),
                "best_accuracy": best.val_accuracy,
                "last_loss": last.loss,
                "seconds": last.seconds,
            }
        )
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame):
    """A matplotlib figure of the models of one data set and shot: loss, and validation accuracy, over training episodes."""
    with drawing() as pyplot:
        lines = list(table.groupby("model", sort=False))
        canvas, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2 + 0.16 * (len(lines) // 3)), layout="constrained")
        for number, (_, own) in enumerate(lines):
            style = dict(marker=MARKERS[number // 10 % len(MARKERS)], ms=3, linewidth=1, color=f"C{number % 10}")
            left.plot(own.episodes, own.loss, **style)
            right.plot(own.episodes, own.val_accuracy, **style, label=own.method.iloc[0])
        left.set_ylabel("training loss since the last validation")
        right.set_ylabel("validation accuracy (%)")
        for axes in (left, right):
            axes.set_xlabel("training episodes")
        canvas.legend(loc="outside lower center", ncols=3, fontsize=7)
    return canvas


def page(paper: str, models: list[dict[str, Any]], folder: Path) -> str:
    """The page: curves of every data set and shot, then a table of all trainings."""
    table = histories(models, folder)
    learning = table[table.loss.notna()] if len(table) else table
    parts = [
        web.paragraph(
            "Left: the loss, averaged since the validation before. Right: accuracy on the frozen validation episodes, which "
            "decides what is kept; test episodes are not looked at. A curve that still rises at its end would gain by a longer "
            "training."
        )
    ]
    if learning.empty:
        return web.page(f"{paper.upper()}: training", web.paragraph("Nothing in these tables has anything to learn."))
    for (dataset, shot), own in learning.groupby(["dataset", "shot"], sort=True):
        parts += [
            web.heading(f"{dataset}, {shot}-shot"),
            web.picture(draw(own), f"Training curves on {dataset}, {shot}-shot"),
        ]
    lines = [
        (
            r.method,
            r.dataset,
            r.shot,
            f"{r.episodes:,}",
            f"{r.best_episodes:,}",
            f"{r.best_accuracy:.1f}",
            f"{r.last_loss:.3f}",
            f"{r.seconds:,.0f}",
        )
        for r in summary(learning).itertuples()
    ]
    header = ["Method", "data set", "shot", "episodes", "best after", "validation accuracy", "last loss", "seconds"]
    parts += [web.heading("All trainings"), web.table(header, lines)]
    without = len(models) - learning.model.nunique()
    if without:
        told = f"{without} more models have nothing to learn: plain metrics on the features as they are."
        parts.append(web.paragraph(told))
    return web.page(f"{paper.upper()}: training", *parts)
