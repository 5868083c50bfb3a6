"""Accuracy over something that is varied: frames of a clip, or a parameter of the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field, model_validator

from fsar_core.bounds import MOST_FRAMES, Counted, Shot
from fsar_core.config import Model
from fsar_core.evaluation.results import read_summary
from fsar_core.evaluation.statistics import Estimate
from fsar_core.papers.kinds import FigureInputs, FigureKind, Result
from fsar_core.papers.models import Curve
from fsar_core.papers.needs import Experiment, FigureNeeds, PointNeed
from fsar_core.rendering.drawing import MARKERS, drawing
from fsar_core.specs import Component


class Panel(Model):
    """Accuracy over something that is varied.

    Attributes:
        sets: what the horizontal axis sets: `frames` of a clip, or parameters of the head, all to
            the same value.
        scale: of that axis; None: linear for frames, else logarithmic.
    """

    title: str
    dataset: str
    shots: list[Shot] = Field(min_length=1)
    label: str
    sets: list[str] = Field(min_length=1)
    values: list[Counted] = Field(min_length=2)
    scale: Literal["linear", "log"] | None = None
    curves: list[Curve] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Panel:
        methods = [curve.method for curve in self.curves]
        if len(set(methods)) < len(methods):
            raise ValueError(
                f"panel '{self.title}' has two curves of one name; names of methods must differ"
            )
        if self.values != sorted(set(self.values)):
            raise ValueError(f"panel '{self.title}': values {self.values} must rise")
        if self.varies_frames and not 2 <= min(self.values) <= max(self.values) <= MOST_FRAMES:
            raise ValueError(
                f"panel '{self.title}': values {self.values} of frames must be 2 to {MOST_FRAMES}"
            )
        if len(set(self.shots)) < len(self.shots):
            raise ValueError(f"panel '{self.title}': shots {self.shots} name one twice")
        if self.logarithmic and self.values[0] < 1:
            raise ValueError(
                f"panel '{self.title}': {self.values[0]} has no place on a logarithmic axis; "
                f"`scale: linear`"
            )
        return self

    @property
    def varies_frames(self) -> bool:
        """Whether the number of frames of a clip is varied."""
        return "frames" in self.sets

    @property
    def logarithmic(self) -> bool:
        """Whether the horizontal axis is logarithmic."""
        return self.scale == "log" or (self.scale is None and not self.varies_frames)

    def experiment(self, curve: Curve, shot: int, value: int) -> Experiment:
        """Return what is trained and tested for one point."""
        varied = {key: value for key in self.sets if key != "frames"}
        return Experiment(
            place=f"panel '{self.title}', '{curve.method}'",
            dataset=self.dataset,
            head=Component(name=curve.head.name, params={**curve.head.params, **varied}),
            matching=curve.matching,
            shot=shot,
            setup=curve.setup,
            frames=value if self.varies_frames else None,
        )


class CurvesFigure(FigureKind):
    """Kind curves: accuracy over something that is varied."""

    caption: ClassVar[str] = (
        "Each curve is one method: its accuracy on the frozen test episodes over what is varied "
        "along the horizontal axis. Where two bands, the 95 % intervals over episodes, do not "
        "overlap, the methods differ; dotted is what guessing would give."
    )

    kind: Literal["curves"] = "curves"
    panels: list[Panel] = Field(min_length=1)

    def measured_on(self) -> list[str]:
        return [panel.dataset for panel in self.panels]

    def needs(self) -> FigureNeeds:
        points = []
        for number, panel in enumerate(self.panels):
            for curve in panel.curves:
                for shot in panel.shots:
                    for value in panel.values:
                        experiment = panel.experiment(curve, shot, value)
                        points.append(PointNeed(number, curve.method, value, experiment))
        return FigureNeeds(points=tuple(points))

    def draw(self, inputs: FigureInputs):
        table = curves(self, inputs.results)
        return draw_curves(self, table, inputs.way), table


def curves(figure: CurvesFigure, results: Sequence[Result]) -> pd.DataFrame:
    """Return one row for each point.

    Columns: panel, dataset (really used), method, shot, x, accuracy and ci95 (percent), episodes,
    run.
    """
    rows = []
    for result in results:
        summary = read_summary(result.run)
        estimate = Estimate(summary["accuracy"], summary["ci95"], summary["episodes"])
        rows.append(
            {
                "panel": figure.panels[result.panel].title,
                "dataset": summary["dataset"],
                "method": result.method,
                "shot": result.shot,
                "x": result.value,
                "accuracy": estimate.mean,
                "ci95": estimate.ci95,
                "episodes": estimate.episodes,
                "run": result.run.name,
            }
        )
    return pd.DataFrame(rows)


def draw_curves(figure: CurvesFigure, table: pd.DataFrame, way: int):
    """Draw the panels: a line for every method and shot, the 95 % interval as a band."""
    with drawing() as pyplot:
        canvas, all_axes = pyplot.subplots(
            1,
            len(figure.panels),
            figsize=(max(6.2, 4.6 * len(figure.panels)), 3.6),
            squeeze=False,
            layout="constrained",
        )
        for axes, panel in zip(all_axes[0], figure.panels):
            _draw_panel(axes, panel, table[table.panel == panel.title], way)
        names = ", ".join(dict.fromkeys(table.dataset))
        episodes = " or ".join(f"{count:,}" for count in sorted(set(table.episodes)))
        canvas.suptitle(
            f"{figure.title}\nmeasured on {names}; bands: 95 % interval over {episodes} episodes",
            fontsize=10,
        )
    return canvas


def _draw_panel(axes, panel: Panel, part: pd.DataFrame, way: int) -> None:
    ends = {}  # label of a line -> its last accuracy
    for number, ((method, shot), line) in enumerate(part.groupby(["method", "shot"], sort=False)):
        line = line.sort_values("x")
        label, color = f"{method}, {shot}-shot", f"C{number}"
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(line.x, line.accuracy, marker=marker, ms=4, color=color, label=label)
        low, high = line.accuracy - line.ci95, line.accuracy + line.ci95
        axes.fill_between(line.x, low, high, alpha=0.2, color=color)
        ends[label] = line.accuracy.iloc[-1]
    # The legend stands beside the lines, in the order of their ends.
    handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
    names = sorted(ends, key=ends.get, reverse=True)
    beside = dict(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=7)
    axes.legend([handles[name] for name in names], names, **beside)
    chance = 100 / way
    axes.axhline(chance, color="grey", linestyle=":", linewidth=1)
    above = dict(xytext=(0, 3), textcoords="offset points", fontsize=7)
    axes.annotate("chance", (panel.values[0], chance), **above)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.label)
    axes.set_xticks(panel.values)
    if panel.logarithmic:
        axes.set_xscale("log", base=2)
        axes.set_xticks(panel.values, [str(value) for value in panel.values])
    axes.set_ylabel(f"{way}-way accuracy (%)")
