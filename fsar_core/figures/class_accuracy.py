"""Accuracy of several methods class by class, and the first one's gain over each of the others.

Gains are paired: computed from the single queries of runs on the same test episodes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field, model_validator

from fsar_core.bounds import Shot
from fsar_core.evaluation.results import read_queries, read_summary
from fsar_core.evaluation.statistics import class_accuracies, class_gains, paired_difference
from fsar_core.figures._class_bars import LABEL_WIDTH, draw_gain_bars
from fsar_core.papers.kinds import FigureInputs, FigureKind, Result
from fsar_core.papers.models import Curve
from fsar_core.papers.needs import Experiment, FigureNeeds, PointNeed
from fsar_core.rendering.drawing import MARKERS, drawing

OFFSET = 0.22  # between the methods of one class, of the distance between classes


class ClassAccuracyFigure(FigureKind):
    """Kind class_accuracy: the accuracy of several methods by test class, and gains between them.

    Gains are those of the first method over each of the others.
    """

    caption: ClassVar[str] = (
        "Left, the accuracy of every test class by method; right, the first method's gain over "
        "each of the others on the same queries. Whiskers are 95 % intervals; pale bars hold 0: of "
        "these classes no difference is shown."
    )

    kind: Literal["class_accuracy"]
    dataset: str
    shot: Shot
    methods: list[Curve] = Field(min_length=2)

    @model_validator(mode="after")
    def _each_once(self) -> ClassAccuracyFigure:
        names = [curve.method for curve in self.methods]
        if len(set(names)) < len(names):
            raise ValueError("two methods have one name; names must differ")
        return self

    def measured_on(self) -> list[str]:
        return [self.dataset]

    def needs(self) -> FigureNeeds:
        points = [
            PointNeed(
                0, curve.method, self.shot, Experiment.of_curve(curve, self.dataset, self.shot)
            )
            for curve in self.methods
        ]
        return FigureNeeds(points=tuple(points))

    def draw(self, inputs: FigureInputs):
        table = accuracies(self, inputs.results)
        return draw_class_accuracy(self, table, inputs.way), table


def accuracies(figure: ClassAccuracyFigure, results: Sequence[Result]) -> pd.DataFrame:
    """Return one row for each method and class.

    Methods are in their order, classes by falling accuracy of the first method. Columns: dataset
    (really used), shot, method, class, accuracy and ci95 (percent), queries; of all but the first
    method gain and gain_ci95 (of the first over it, percentage points, paired on the class's
    queries), mean_gain and mean_gain_ci95 (of all, paired on episodes); run.
    """
    runs = {result.method: result.run for result in results}
    names = [curve.method for curve in figure.methods]
    summaries = {name: read_summary(runs[name]) for name in names}
    queries = {name: read_queries(runs[name]) for name in names}
    first = queries[names[0]]
    tables = []
    for name in names:
        table = class_accuracies(queries[name])
        if name != names[0]:
            gains = class_gains(first, queries[name])
            mean = paired_difference(first, queries[name])
            table = table.assign(
                gain=gains.gain,
                gain_ci95=gains.ci95,
                mean_gain=mean.mean,
                mean_gain_ci95=mean.ci95,
            )
        front = {"dataset": summaries[name]["dataset"], "shot": figure.shot, "method": name}
        table = pd.DataFrame(front, index=table.index).join(table).assign(run=runs[name].name)
        tables.append(table)
    order = tables[0].sort_values(["accuracy", "class"], ascending=[False, True]).index
    joined = pd.concat([table.loc[order] for table in tables], ignore_index=True)
    run = joined.pop("run")
    class_names = summaries[names[0]]["class_names"]
    return joined.assign(
        **{"class": [class_names[class_id] for class_id in joined["class"]], "run": run}
    )


def draw_class_accuracy(figure: ClassAccuracyFigure, table: pd.DataFrame, way: int):
    """Draw the accuracies of every class, and beside them the gains of the first method.

    Classes are in the order of the first method's accuracy; whiskers are 95 % intervals.
    """
    names = [curve.method for curve in figure.methods]
    parts = {name: table[table.method == name].reset_index(drop=True) for name in names}
    labels = [textwrap.fill(label, LABEL_WIDTH) for label in parts[names[0]]["class"]]
    lines = sum(label.count("\n") + 1 for label in labels)
    with drawing(**{"axes.grid.axis": "x"}) as pyplot:
        canvas, (left, *others) = pyplot.subplots(
            1,
            len(names),
            figsize=(5.0 + 3.4 * len(names), 1.8 + 0.22 * lines),
            layout="constrained",
            width_ratios=[1.2] + [1] * (len(names) - 1),
        )
        for number, name in enumerate(names):
            part = parts[name]
            shift = OFFSET * (number - (len(names) - 1) / 2)
            left.errorbar(
                part.accuracy,
                part.index + shift,
                xerr=part.ci95,
                fmt=MARKERS[number % len(MARKERS)],
                ms=3.5,
                elinewidth=0.8,
                color=f"C{number}",
                label=name,
            )
        left.axvline(100 / way, color="grey", linestyle=":", linewidth=1)
        left.set_yticks(range(len(labels)), labels, fontsize=6)
        left.invert_yaxis()
        left.margins(y=0.02)
        left.set_xlabel("accuracy (%)")
        left.legend(fontsize=7, loc="best")
        left.set_title(
            f"{way}-way {figure.shot}-shot accuracy by class; dotted: chance", fontsize=8
        )
        for axes, name in zip(others, names[1:]):
            part = parts[name]
            mean = part.iloc[0]
            counts = draw_gain_bars(axes, part.gain, part.gain_ci95, mean.mean_gain)
            axes.set_yticks(range(len(labels)), [""] * len(labels))
            axes.set_xlabel(f"{names[0]} minus {name} (percentage points)")
            average = (
                f"{mean.mean_gain:+.1f} ± {mean.mean_gain_ci95:.1f} points on average (dashed)"
            )
            axes.set_title(f"{average}\n{counts}", fontsize=8)
        low, high = table["queries"].min(), table["queries"].max()
        canvas.suptitle(
            f"{figure.title}\nmeasured on {table['dataset'].iloc[0]}; whiskers: 95 % interval of "
            f"every class over its {low:,} to {high:,} queries, gains paired on them; pale: it "
            f"holds 0",
            fontsize=9,
        )
    return canvas
