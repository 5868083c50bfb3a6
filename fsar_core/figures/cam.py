"""Where in the frames of a query the evidence for its right class is, by Grad-CAM of every method.

With `salient`, frames are boxed by their actionness, and how the evidence is spread over them is
measured.

Source: I2ST, Fig. 6; SGTM, Fig. 3.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from fsar_core.bounds import Count, Episodes
from fsar_core.components.registry import Entry
from fsar_core.evaluation.actionness import GROUPS, groups, shares
from fsar_core.evaluation.arrays import load
from fsar_core.evaluation.statistics import half_width
from fsar_core.figures._examples import ShownExample, check_examples, positions
from fsar_core.figures._salience import check_salient, draw_box, legend
from fsar_core.papers.kinds import ActionnessFile, FigureInputs, FigureKind, InspectionFile
from fsar_core.papers.models import Example, Subject
from fsar_core.papers.needs import (
    Actionness,
    ActionnessNeed,
    Experiment,
    FigureNeeds,
    Inspection,
    InspectionNeed,
)
from fsar_core.rendering.drawing import PLAIN, draw_map_over, drawing

LABEL_WIDTH = 20  # letters beside a row of maps before they continue on the next line
WHOLE_SCALE = np.array([0.0, 1.0])  # of maps that are relative to their greatest value
AMBIGUOUS = GROUPS.index("ambiguous")

Arrays = Mapping[str, np.ndarray]


class CamFigure(FigureKind):
    """Kind cam: Grad-CAM of the right class over the frames of a few queries.

    Attributes:
        panels: methods; each has a row of maps.
        salient: how many frames of highest actionness are boxed as salient, and as many of lowest
            as non-salient; None: no boxes.
        episodes: on a query of each of these it is measured how the evidence is spread over the
            boxed groups.
    """

    caption: ClassVar[str] = (
        "Evidence for the right class over the frames of a query (Grad-CAM), a row for every "
        "method on the same frames: the warmer a place, the more it speaks for the class. All maps "
        "of a method and a clip are scaled to their largest value, so that colours say where in "
        "the clip the evidence lies, not how much of it there is."
    )
    inspection: ClassVar[str] = "fsar_core.evaluation.gradcam:inspect"

    kind: Literal["cam"]
    panels: list[Subject] = Field(min_length=1)
    examples: list[Example] = Field(min_length=1)
    salient: Count | None = None
    episodes: Episodes = 200

    @model_validator(mode="after")
    def _on_the_same_queries(self) -> CamFigure:
        methods = [subject.method for subject in self.panels]
        if len(set(methods)) < len(methods):
            raise ValueError("two panels have one name; names of methods must differ")
        if len({subject.shot for subject in self.panels}) > 1:
            raise ValueError(
                "panels of different shots have different episodes; give all the same shot"
            )
        return self

    def measured_on(self) -> list[str]:
        return list(dict.fromkeys(example.dataset for example in self.examples))

    def needs(self) -> FigureNeeds:
        inspections = [
            InspectionNeed(subject, Experiment.of_subject(subject, dataset))
            for dataset in self.measured_on()
            for subject in self.panels
        ]
        actionness = []
        if self.salient:
            # All subjects are shown on the same clips: the first one's backbone scores them.
            setup = self.panels[0].setup
            actionness = [ActionnessNeed(dataset, setup) for dataset in self.measured_on()]
        return FigureNeeds(inspections=tuple(inspections), actionness=tuple(actionness))

    def wanted(self, datasets: Sequence[str]) -> dict[str, Any]:
        evidence = {"evidence": self.episodes} if self.salient else {}
        return {"cam": positions(self.examples, datasets), **evidence}

    def unsuitable(self, head: Entry) -> str | None:
        inside = head.attributes["wraps_tail"]
        reason = "works inside the backbone, so no grid of features comes before it"
        return reason if inside else None

    def check(
        self, preset: str, inspections: Sequence[Inspection], actionness: Sequence[Actionness]
    ) -> None:
        if self.salient:
            check_salient(self.salient, actionness)
        check_examples(self.examples, inspections)

    def draw(self, inputs: FigureInputs):
        return draw_cam(self, inputs.inspections, inputs.actionness)


def draw_cam(
    figure: CamFigure,
    inspections: Sequence[InspectionFile],
    actionness: Sequence[ActionnessFile] = (),
):
    """Draw a row of frames for each example, and below it a row of maps for each method.

    Returns:
        The matplotlib figure, and the maps: dataset, episode, query, query_class, method,
        predicted_class, frame, row, column, relative (to the greatest value of the method on this
        query; 0 everywhere where nothing speaks for the right class); with boxes also group
        (salient, ambiguous or non-salient) of the frame.
    """
    files = {(dataset, method): load(path) for dataset, method, path in inspections}
    scored = {dataset: load(path) for dataset, path in actionness}
    shown = [
        [
            ShownExample.read(example, files[example.dataset, subject.method])
            for subject in figure.panels
        ]
        for example in figure.examples
    ]
    rows: list[dict[str, Any]] = []
    most_frames = max(len(methods[0]["query_frames"]) for methods in shown)
    with drawing(**PLAIN) as pyplot:
        height = 1.15 * (len(figure.panels) + 1) + 0.4
        canvas = pyplot.figure(
            figsize=(1.15 * most_frames + 1.6, height * len(shown) + 0.7), layout="constrained"
        )
        for part, methods in zip(np.atleast_1d(canvas.subfigures(len(shown), 1)), shown):
            boxes = _boxes(scored, methods[0], figure.salient)
            rows += _draw_example(part, figure, methods, boxes)
        names = ", ".join(dict.fromkeys(methods[0].dataset for methods in shown))
        canvas.suptitle(
            f"{figure.title}\n{figure.panels[0].shot}-shot, on test clips of {names}\n"
            f"Grad-CAM of the right class's logit, over the greatest value of each method on this "
            f"clip{_spread_text(figure, files, scored)}",
            fontsize=9,
        )
    return canvas, pd.DataFrame(rows)


def _draw_example(
    part, figure: CamFigure, methods: Sequence[ShownExample], boxes: Sequence[str]
) -> list[dict[str, Any]]:
    """Draw one example, and return its rows of the CSV."""
    first = methods[0]
    part.suptitle(
        f"{first.dataset}, episode {first.example.episode}: {first.query_class}", fontsize=8
    )
    frames = len(first["query_frames"])
    pictures, *maps = part.subplots(len(methods) + 1, frames, squeeze=False)
    for i, axes in enumerate(pictures):
        axes.imshow(first.frame(i + 1))
        axes.set_title(f"frame {i + 1}", fontsize=7)
        axes.set_axis_off()
        if boxes:
            draw_box(axes, boxes[i])
    rows: list[dict[str, Any]] = []
    for subject, one, axes in zip(figure.panels, methods, maps):
        relative = one["cam"] / (float(one["cam"].max()) or 1.0)
        for i, values in enumerate(relative):
            drawn = draw_map_over(axes[i], one.frame(i + 1), values, WHOLE_SCALE)
            front = {
                "dataset": first.dataset,
                "episode": first.example.episode,
                "query": first.example.query,
                "query_class": first.query_class,
                "method": subject.method,
                "predicted_class": one.predicted_class,
                "frame": i + 1,
            }
            group = {"group": boxes[i]} if boxes else {}
            rows += [
                {**front, "row": y + 1, "column": x + 1, "relative": value, **group}
                for (y, x), value in np.ndenumerate(values)
            ]
        is_right = one.predicted_class == first.query_class
        outcome = "right" if is_right else f"taken for: {one.predicted_class}"
        label = f"{subject.method}\n{textwrap.fill(outcome, LABEL_WIDTH)}"
        beside = dict(transform=axes[0].transAxes, ha="right", va="center", fontsize=6)
        axes[0].text(-0.08, 0.5, label, **beside)
    part.colorbar(
        drawn, ax=[*pictures, *np.concatenate(maps)], label="relative evidence", shrink=0.6
    )
    return rows


def _boxes(scored: Mapping[str, Arrays], shown: ShownExample, salient: int | None) -> list[str]:
    """Return the group of each of the query's frames; nothing if no frames are boxed."""
    if not scored or salient is None:
        return []
    scores = _scores(scored[shown.example.dataset], np.array([shown["query_row"]]))
    return [GROUPS[number] for number in groups(scores[0], salient)]


def _scores(arrays: Arrays, rows: np.ndarray) -> np.ndarray:
    """Return the actionness [rows frames] of clips."""
    return arrays["actionness"][np.searchsorted(arrays["rows"], rows)]


def _spread_text(
    figure: CamFigure,
    files: Mapping[tuple[str, str], Arrays],
    scored: Mapping[str, Arrays],
) -> str:
    """Return how the evidence is spread over the groups, by data set and method.

    Also by how much the last method's share on the ambiguous frames exceeds the first one's.
    """
    if not scored or figure.salient is None:
        return ""
    lines = [legend()]
    # Data sets of the paper that share a card are described once.
    once = {str(arrays["dataset"]): dataset for dataset, arrays in scored.items()}
    for name, dataset in once.items():
        parts = []
        for subject in figure.panels:
            arrays = files[dataset, subject.method]
            scores = _scores(scored[dataset], arrays["evidence_rows"])
            parts.append(shares(arrays["evidence"], scores, figure.salient))
        whole = ~np.isnan(np.stack(parts)).any((0, 2))
        lines.append(
            f"{name}: share (%) of the evidence on {', '.join(GROUPS)} frames, "
            f"{int(whole.sum())} queries"
        )
        for subject, part in zip(figure.panels, parts):
            percents = ", ".join(_percent(values) for values in part[whole].T)
            lines.append(f"{subject.method}: {percents}")
        if len(parts) > 1:
            more = _percent((parts[-1] - parts[0])[whole, AMBIGUOUS], "+")
            lines[-1] += f"; ambiguous ones {more} to {figure.panels[0].method}, paired"
    return "\n" + "\n".join(lines)


def _percent(values: np.ndarray, sign: str = "") -> str:
    return f"{100 * values.mean():{sign}.1f} ± {100 * half_width(values):.1f}"
