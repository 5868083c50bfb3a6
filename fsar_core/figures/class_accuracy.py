"""Accuracy of several methods class by class, and the first one's gain over each of the others, from the single queries of their
runs on the same test episodes."""

from __future__ import annotations

import textwrap

import pandas as pd

from fsar_core.evaluation.results import read_queries, read_summary
from fsar_core.evaluation.statistics import class_accuracies, class_gains, paired_difference
from fsar_core.figures.class_gain import WRAP, bars
from fsar_core.figures.curves import MARKERS, Point, drawing
from fsar_core.paper import ClassAccuracyFigure


def accuracies(figure: ClassAccuracyFigure, points: list[Point]) -> pd.DataFrame:
    """One row a method and class, in the order of the methods, classes by falling accuracy of the first.

    Columns: dataset (really used), shot, method, class, accuracy and ci95 (percent), queries; of all but the first method
    gain and gain_ci95 (of the first over it, percentage points, paired on the class's queries), mean_gain and mean_gain_ci95
    (of all, paired on episodes); run.
    """
    runs = {point.method: point.run for point in points}
    names = [curve.method for curve in figure.methods]
    summaries = {name: read_summary(runs[name]) for name in names}
    queries = {name: read_queries(runs[name]) for name in names}
    first, tables = queries[names[0]], []
    for name in names:
        table = class_accuracies(queries[name])
        if name != names[0]:
            gains, mean = class_gains(first, queries[name]), paired_difference(first, queries[name])
            table = table.assign(gain=gains.gain, gain_ci95=gains.ci95, mean_gain=mean.mean, mean_gain_ci95=mean.ci95)
        front = {"dataset": summaries[name]["dataset"], "shot": figure.shot, "method": name}
        table = pd.DataFrame(front, index=table.index).join(table).assign(run=runs[name].name)
        tables.append(table)
    order = tables[0].sort_values(["accuracy", "class"], ascending=[False, True]).index
    found = pd.concat([table.loc[order] for table in tables], ignore_index=True)
    run = found.pop("run")
    class_names = summaries[names[0]]["class_names"]
    return found.assign(**{"class": [class_names[class_id] for class_id in found["class"]], "run": run})


def draw_class_accuracy(figure: ClassAccuracyFigure, table: pd.DataFrame, way: int):
    """A matplotlib figure: the accuracies of every class, the first method's best on top; beside it, for every other method, the
    gains over it in the same order, as `class_gain.bars`. Whiskers are 95 % intervals."""
    names = [curve.method for curve in figure.methods]
    parts = {name: table[table.method == name].reset_index(drop=True) for name in names}
    labels = [textwrap.fill(label, WRAP) for label in parts[names[0]]["class"]]
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
            part, shift = parts[name], 0.22 * (number - (len(names) - 1) / 2)
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
        left.set_title(f"{way}-way {figure.shot}-shot accuracy by class; dotted: chance", fontsize=8)
        for axes, name in zip(others, names[1:]):
            part = parts[name]
            mean = part.iloc[0]
            told = bars(axes, part.gain, part.gain_ci95, mean.mean_gain)
            axes.set_yticks(range(len(labels)), [""] * len(labels))
            axes.set_xlabel(f"{names[0]} minus {name} (percentage points)")
            average = f"{mean.mean_gain:+.1f} ± {mean.mean_gain_ci95:.1f} points on average (dashed)"
            axes.set_title(f"{average}\n{told}", fontsize=8)
        low, high = table["queries"].min(), table["queries"].max()
        canvas.suptitle(
            f"{figure.title}\nmeasured on {table['dataset'].iloc[0]}; whiskers: 95 % interval of every class over its {low:,} to "
            f"{high:,} queries, gains paired on them; pale: it holds 0",
            fontsize=9,
        )
    return canvas
