"""Training curves: loss and validation accuracy of every model behind a paper's tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from fsar_core.errors import FsarError
from fsar_core.papers.kinds import Page
from fsar_core.rendering import html
from fsar_core.rendering.drawing import MARKERS, drawing
from fsar_core.report._runs import ModelOfTable, models_of
from fsar_core.storage.bindings import remake

if TYPE_CHECKING:
    from fsar_core.study import Study


class TrainingPage(Page):
    """Curves of every data set and shot, then a table of all trainings.

    Attributes:
        models_folder: of all models.
    """

    title: ClassVar[str] = "Training: loss and validation accuracy of every model"
    caption: ClassVar[str] = (
        "Loss and validation accuracy of every training. What is kept is the best validation; test "
        "episodes are looked at once, at the end."
    )

    models: list[ModelOfTable]
    models_folder: Path

    @classmethod
    def gather(cls, study: Study, tables: Sequence[str]) -> TrainingPage:
        folder = study.config.roots.results / "models"
        return cls(models=models_of(study, tables), models_folder=folder)

    def render(self, paper: str) -> str:
        table = histories(self.models, self.models_folder)
        learning = table[table.loss.notna()] if len(table) else table
        title = f"{paper.upper()}: training"
        if learning.empty:
            return html.page(
                title, html.paragraph("Nothing in these tables has anything to learn.")
            )
        parts = [
            html.paragraph(
                "Left: the loss, averaged since the validation before. Right: accuracy on the "
                "frozen validation episodes, which decides what is kept; test episodes are not "
                "looked at. A curve that still rises at its end would gain by a longer training."
            )
        ]
        for (dataset, shot), own in learning.groupby(["dataset", "shot"], sort=True):
            place = f"{dataset}, {shot}-shot"
            parts.append(html.heading(place))
            parts.append(html.picture(draw(own), f"Training curves on {place}"))
        parts += [html.heading("All trainings"), _table_of(summary(learning))]
        without = len(self.models) - learning.model.nunique()
        if without:
            parts.append(
                html.paragraph(
                    f"{without} more models have nothing to learn: plain metrics on the features as they are."
                )
            )
        return html.page(title, *parts)


def histories(models: Sequence[ModelOfTable], folder: Path) -> pd.DataFrame:
    """Return one row for each validation: model, dataset, shot, method, columns of history.csv.

    Args:
        folder: of all models.
    """
    tables = [_history(folder / about.model).assign(**about.model_dump()) for about in models]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _history(model: Path) -> pd.DataFrame:
    """Read history.csv of a model's folder.

    Raises:
        FsarError: it belongs to another model.
    """
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
    """Return one row for each model.

    Columns: model, method, dataset, shot, episodes in all, those before the best validation (the
    first of equal ones) and its accuracy, the last loss, seconds of the training.
    """
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
    """Draw the models of one data set and shot: loss and validation accuracy over episodes."""
    with drawing() as pyplot:
        lines = list(table.groupby("model", sort=False))
        size = (9, 3.2 + 0.16 * (len(lines) // 3))
        canvas, (left, right) = pyplot.subplots(1, 2, figsize=size, layout="constrained")
        for number, (_, own) in enumerate(lines):
            marker, color = MARKERS[number // 10 % len(MARKERS)], f"C{number % 10}"
            style = dict(marker=marker, ms=3, linewidth=1, color=color)
            left.plot(own.episodes, own.loss, **style)
            right.plot(own.episodes, own.val_accuracy, **style, label=own.method.iloc[0])
        left.set_ylabel("training loss since the last validation")
        right.set_ylabel("validation accuracy (%)")
        for axes in (left, right):
            axes.set_xlabel("training episodes")
        canvas.legend(loc="outside lower center", ncols=3, fontsize=7)
    return canvas


def _table_of(trainings: pd.DataFrame) -> str:
    """Return the table of all trainings."""
    lines = [
        (
            row.method,
            row.dataset,
            row.shot,
            f"{row.episodes:,}",
            f"{row.best_episodes:,}",
            f"{row.best_accuracy:.1f}",
            f"{row.last_loss:.3f}",
            f"{row.seconds:,.0f}",
        )
        for row in trainings.itertuples()
    ]
    header = [
        "Method",
        "data set",
        "shot",
        "episodes",
        "best after",
        "validation accuracy",
        "last loss",
        "seconds",
    ]
    return html.table(header, lines)
