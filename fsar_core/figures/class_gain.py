"""Accuracy of one method minus another's, class by class, with a panel for every shot.

Gains are paired: computed from the single queries of two runs on the same test episodes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field, model_validator

from fsar_core.bounds import Shot
from fsar_core.evaluation.results import read_queries, read_summary
from fsar_core.evaluation.statistics import class_gains, paired_difference
from fsar_core.figures._class_bars import LABEL_WIDTH, draw_gain_bars
from fsar_core.papers.kinds import FigureInputs, FigureKind, Result
from fsar_core.papers.models import Curve
from fsar_core.papers.needs import Experiment, FigureNeeds, PointNeed
from fsar_core.rendering.drawing import drawing


class ClassGainFigure(FigureKind):
    """Kind class_gain: the accuracy of one method minus another's, of every test class."""

    caption: ClassVar[str] = (
        "Of every test class, how many points one method gains over the other on the same queries. "
        "Bars to the right are gains; whiskers are 95 % intervals, and pale bars hold 0: of these "
        "classes no difference is shown."
    )

    kind: Literal["class_gain"]
    dataset: str
    shots: list[Shot] = Field(min_length=1)
    method: Curve
    minus: Curve

    @model_validator(mode="after")
    def _two_methods(self) -> ClassGainFigure:
        if self.method.method == self.minus.method:
            raise ValueError(
                f"'{self.method.method}' is compared to a method of the same name; names must differ"
            )
        if len(set(self.shots)) < len(self.shots):
            raise ValueError(f"shots {self.shots} name one twice")
        return self

    def measured_on(self) -> list[str]:
        return [self.dataset]

    def needs(self) -> FigureNeeds:
        points = [
            PointNeed(panel, curve.method, shot, Experiment.of_curve(curve, self.dataset, shot))
            for panel, shot in enumerate(self.shots)
            for curve in (self.method, self.minus)
        ]
        return FigureNeeds(points=tuple(points))

    def draw(self, inputs: FigureInputs):
        table = gains(self, inputs.results)
        return draw_class_gain(self, table, inputs.way), table


def gains(figure: ClassGainFigure, results: Sequence[Result]) -> pd.DataFrame:
    """Return one row for each panel and class, by falling gain.

    Columns: dataset (really used), shot, method, minus, class, gain and ci95 (percentage points,
    paired on the class's queries), queries, mean_gain and mean_ci95 (of all, paired on episodes),
    run, minus_run.
    """
    runs = {(result.method, result.shot): result.run for result in results}
    tables = []
    for shot in figure.shots:
        run, plain = (runs[curve.method, shot] for curve in (figure.method, figure.minus))
        summary = read_summary(run)
        queries = [read_queries(folder) for folder in (run, plain)]
        mean = paired_difference(*queries)
        table = class_gains(*queries)
        names = [summary["class_names"][class_id] for class_id in table["class"]]
        table = table.assign(**{"class": names})
        table = table.sort_values(["gain", "class"], ascending=[False, True])
        front = {
            "dataset": summary["dataset"],
            "shot": shot,
            "method": figure.method.method,
            "minus": figure.minus.method,
        }
        back = {
            "mean_gain": mean.mean,
            "mean_ci95": mean.ci95,
            "run": run.name,
            "minus_run": plain.name,
        }
        tables.append(pd.DataFrame(front, index=table.index).join(table).assign(**back))
    return pd.concat(tables, ignore_index=True)


def draw_class_gain(figure: ClassGainFigure, table: pd.DataFrame, way: int):
    """Draw a panel for each shot and a bar for each class, the greatest gain on top.

    Whiskers are 95 % intervals; the mean over all queries is a dashed line.
    """
    parts = [table[table["shot"] == shot] for shot in figure.shots]
    names = [[textwrap.fill(name, LABEL_WIDTH) for name in part["class"]] for part in parts]
    lines = max(sum(name.count("\n") + 1 for name in panel) for panel in names)
    with drawing(**{"axes.grid.axis": "x"}) as pyplot:
        canvas, all_axes = pyplot.subplots(
            1,
            len(parts),
            figsize=(5.6 * len(parts), 1.6 + 0.19 * lines),
            squeeze=False,
            layout="constrained",
        )
        for axes, part, labels in zip(all_axes[0], parts, names):
            first = part.iloc[0]
            counts = draw_gain_bars(axes, part.gain, part.ci95, first.mean_gain)
            axes.set_yticks(range(len(part)), labels, fontsize=6)
            axes.set_title(
                f"{way}-way {first.shot}-shot: {first.mean_gain:+.1f} ± {first.mean_ci95:.1f} "
                f"points on average (dashed)\n{counts}",
                fontsize=8,
            )
            axes.set_xlabel(
                f"accuracy of {figure.method.method} minus {figure.minus.method} "
                f"(percentage points)"
            )
        dataset = table["dataset"].iloc[0]
        low, high = table["queries"].min(), table["queries"].max()
        canvas.suptitle(
            f"{figure.title}\nmeasured on {dataset}; whiskers: 95 % interval of every class, "
            f"paired on its {low:,} to {high:,} queries; pale: it holds 0",
            fontsize=9,
        )
    return canvas
