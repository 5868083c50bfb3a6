"""A paper's figure: PNG and PDF for people, and what is drawn as CSV. Here curves, from the results of runs, as in
`class_gain`; `attention`, `cam`, `masks` and `embedding` draw what was taken out of trained runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fsar_core.evaluation.results import read_summary
from fsar_core.evaluation.statistics import Estimate
from fsar_core.paper import Figure
from fsar_core.storage.provenance import atomic_write

SETTINGS = {
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
}
MARKERS = "osD^vP*X"


@dataclass(frozen=True)
class Point:
    """One run of a curve: its panel's number, its method, shot and place on the horizontal axis."""

    panel: int
    method: str
    shot: int
    value: int
    run: Path


def curves(figure: Figure, points: list[Point]) -> pd.DataFrame:
    """One row a point: panel, dataset (really used), method, shot, x, accuracy and ci95 (percent), episodes, run."""
    rows = []
    for point in points:
        summary = read_summary(point.run)
        result = Estimate(summary["accuracy"], summary["ci95"], summary["episodes"])
        rows.append(
            {
                "panel": figure.panels[point.panel].title,
                "dataset": summary["dataset"],
                "method": point.method,
                "shot": point.shot,
                "x": point.value,
                "accuracy": result.mean,
                "ci95": result.ci95,
                "episodes": result.episodes,
                "run": point.run.name,
            }
        )
    return pd.DataFrame(rows)


@contextlib.contextmanager
def drawing(**settings) -> Iterator:
    """matplotlib.pyplot without a screen, in the style of all figures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(SETTINGS | settings):
        yield pyplot


def draw_curves(figure: Figure, table: pd.DataFrame, way: int):
    """A matplotlib figure: a panel each, a line for every method and shot, the 95 % interval as a band, chance dotted."""
    with drawing() as pyplot:
        canvas, all_axes = pyplot.subplots(
            1,
            len(figure.panels),
            figsize=(max(6.2, 4.6 * len(figure.panels)), 3.6),
            squeeze=False,
            layout="constrained",
        )
        for axes, panel in zip(all_axes[0], figure.panels):
            part = table[table.panel == panel.title]
            lines = part.groupby(["method", "shot"], sort=False)
            for number, ((method, shot), line) in enumerate(lines):
                line, colour = line.sort_values("x"), f"C{number}"
                style = dict(marker=MARKERS[number % len(MARKERS)], ms=4, color=colour, label=f"{method}, {shot}-shot")
                axes.plot(line.x, line.accuracy, **style)
                axes.fill_between(line.x, line.accuracy - line.ci95, line.accuracy + line.ci95, alpha=0.2, color=colour)
            # Beside the lines, in the order of their ends.
            ends = {f"{method}, {shot}-shot": line.sort_values("x").accuracy.iloc[-1] for (method, shot), line in lines}
            handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
            names = sorted(ends, key=ends.get, reverse=True)
            beside = dict(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=7)
            axes.legend([handles[name] for name in names], names, **beside)
            axes.axhline(100 / way, color="grey", linestyle=":", linewidth=1)
            axes.annotate("chance", (panel.values[0], 100 / way), xytext=(0, 3), textcoords="offset points", fontsize=7)
            axes.set_title(panel.title)
            axes.set_xlabel(panel.label)
            axes.set_xticks(panel.values)
            if panel.logarithmic:
                axes.set_xscale("log", base=2)
                axes.set_xticks(panel.values, [str(value) for value in panel.values])
            axes.set_ylabel(f"{way}-way accuracy (%)")
        names = ", ".join(dict.fromkeys(table.dataset))
        episodes = " or ".join(f"{count:,}" for count in sorted(set(table.episodes)))
        canvas.suptitle(
            f"{figure.title}\nmeasured on {names}; bands: 95 % interval over {episodes} episodes", fontsize=10
        )
    return canvas


def write(canvas, table: pd.DataFrame, prefix: Path) -> None:
    """`<prefix>.csv`, `.png` and `.pdf`, each atomically; no time stamps inside."""
    for part in canvas.subfigs:
        # A transparent ground; the layout puts its corner at 0 or -0, and the PDF tells them apart.
        part.patch.set_visible(False)
    with atomic_write(prefix.with_suffix(".csv")) as stream:
        table.to_csv(stream, index=False, lineterminator="\n", float_format="%.4f")
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        with atomic_write(prefix.with_suffix(suffix), "wb") as stream:
            canvas.savefig(stream, format=suffix[1:], metadata=metadata)
    with drawing() as pyplot:
        pyplot.close(canvas)
