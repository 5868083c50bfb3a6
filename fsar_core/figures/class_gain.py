"""Accuracy of one method minus another's, class by class, from the single queries of their runs on the same test episodes."""

from __future__ import annotations

import textwrap

import pandas as pd

from fsar_core.evaluation.results import read_queries, read_summary
from fsar_core.evaluation.statistics import class_gains, paired_difference
from fsar_core.figures.curves import Point, drawing
from fsar_core.paper import ClassGainFigure

WRAP = 48  # letters of a class name before it goes on in the next line


def gains(figure: ClassGainFigure, points: list[Point]) -> pd.DataFrame:
    """One row a panel and class, by falling gain: dataset (really used), shot, method, minus, class, gain and ci95 (percentage
    points, paired on the class's queries), queries, mean_gain and mean_ci95 (of all, paired on episodes), run, minus_run."""
    runs = {(point.method, point.shot): point.run for point in points}
    tables = []
    for shot in figure.shots:
        run, plain = (runs[curve.method, shot] for curve in (figure.method, figure.minus))
        summary, queries = read_summary(run), [read_queries(folder) for folder in (run, plain)]
        mean, table = paired_difference(*queries), class_gains(*queries)
        names = [summary["class_names"][class_id] for class_id in table["class"]]
        table = table.assign(**{"class": names}).sort_values(["gain", "class"], ascending=[False, True])
        front = {
            "dataset": summary["dataset"],
            "shot": shot,
            "method": figure.method.method,
            "minus": figure.minus.method,
        }
        back = {"mean_gain": mean.mean, "mean_ci95": mean.ci95, "run": run.name, "minus_run": plain.name}
        tables.append(pd.DataFrame(front, index=table.index).join(table).assign(**back))
    return pd.concat(tables, ignore_index=True)


def draw_class_gain(figure: ClassGainFigure, table: pd.DataFrame, way: int):
    """A matplotlib figure: a panel each shot, a bar each class, the greatest gain on top, its 95 % interval as a whisker, and the
    mean over all queries as a dashed line. Bars whose interval holds 0 are pale."""
    parts = [table[table["shot"] == shot] for shot in figure.shots]
    names = [[textwrap.fill(name, WRAP) for name in part["class"]] for part in parts]
    lines = max(sum(name.count("\n") + 1 for name in panel) for panel in names)
    with drawing(**{"axes.grid.axis": "x"}) as pyplot:
        canvas, all_axes = pyplot.subplots(
            1, len(parts), figsize=(5.6 * len(parts), 1.6 + 0.19 * lines), squeeze=False, layout="constrained"
        )
        for axes, part, labels in zip(all_axes[0], parts, names):
            first = part.iloc[0]
            told = bars(axes, part.gain, part.ci95, first.mean_gain)
            axes.set_yticks(range(len(part)), labels, fontsize=6)
            axes.set_title(
                f"{way}-way {first.shot}-shot: {first.mean_gain:+.1f} ± {first.mean_ci95:.1f} points on average (dashed)\n{told}",
                fontsize=8,
            )
            axes.set_xlabel(f"accuracy of {figure.method.method} minus {figure.minus.method} (percentage points)")
        dataset = table["dataset"].iloc[0]
        low, high = table["queries"].min(), table["queries"].max()
        canvas.suptitle(
            f"{figure.title}\nmeasured on {dataset}; whiskers: 95 % interval of every class, paired on its {low:,} to "
            f"{high:,} queries; pale: it holds 0",
            fontsize=9,
        )
    return canvas


def bars(axes, gain: pd.Series, ci95: pd.Series, mean: float) -> str:
    """A bar for every gain, the first on top, pale where its interval holds 0, and their mean as a dashed line. Returns how
    many lie beyond their interval, in words."""
    told = (gain.abs() > ci95).to_numpy()
    colours = [f"C{int(value < 0)}" for value in gain]
    drawn = axes.barh(range(len(gain)), gain, xerr=ci95, color=colours, error_kw={"elinewidth": 0.8})
    for bar, sure in zip(drawn, told):
        bar.set_alpha(1.0 if sure else 0.4)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(mean, color="grey", linestyle="--", linewidth=1)
    better, worse = int((told & (gain > 0)).sum()), int((told & (gain < 0)).sum())
    return f"of {len(gain)} classes {better} are better and {worse} worse beyond their interval"
