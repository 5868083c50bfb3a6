"""Actionness over the frames of a few test clips.

Where a data set names the frames of a clip in which its action is, it is also measured how
actionness differs inside and outside of them: on the clips that the classifier was trained on, and
on those of other classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from fsar_core.bounds import Count, Examples
from fsar_core.config import SPLITS
from fsar_core.evaluation.actionness import GROUPS, groups, separation
from fsar_core.evaluation.arrays import load
from fsar_core.evaluation.statistics import half_width
from fsar_core.figures._salience import COLORS, check_salient, draw_box, legend
from fsar_core.papers.kinds import ActionnessFile, FigureInputs, FigureKind
from fsar_core.papers.needs import Actionness, ActionnessNeed, FigureNeeds, Inspection
from fsar_core.rendering.drawing import drawing

SPLIT_LABELS = {
    "train": "training clips (seen)",
    "val": "validation classes",
    "test": "test classes",
}
CLIP_HEIGHT, MEASURED_HEIGHT = 2.5, 2.2  # inches

Arrays = Mapping[str, np.ndarray]


class ActionnessFigure(FigureKind):
    """Kind actionness: actionness over the frames of a few test clips.

    Attributes:
        examples: test clips that are shown of every data set, evenly spaced in the split.
        salient: how many frames are boxed as salient, and as many as non-salient.
    """

    caption: ClassVar[str] = (
        "How much every frame looks like an action, by a classifier of frames that was trained on "
        "the training classes: the higher the line, the more. Boxed are the frames with the "
        "highest and the lowest values, by which training hides frames."
    )

    kind: Literal["actionness"]
    datasets: list[str] = Field(min_length=1)
    setup: str | None = None
    examples: Examples = 2
    salient: Count = 2

    def measured_on(self) -> list[str]:
        return list(self.datasets)

    def needs(self) -> FigureNeeds:
        actionness = [
            ActionnessNeed(dataset, self.setup, self.examples) for dataset in self.datasets
        ]
        return FigureNeeds(actionness=tuple(actionness))

    def check(
        self, preset: str, inspections: Sequence[Inspection], actionness: Sequence[Actionness]
    ) -> None:
        check_salient(self.salient, actionness)

    def draw(self, inputs: FigureInputs):
        return draw_actionness(self, inputs.actionness)


def draw_actionness(figure: ActionnessFigure, files: Sequence[ActionnessFile]):
    """Draw the boxed frames of each example over their actionness, and what is measured below.

    Data sets of the paper that share a card are shown once.

    Returns:
        The matplotlib figure, and one row for each clip that is shown or measured: dataset (really
        used), split, row (of the clip index), class, shown, inside (how many of its frames are in
        the action; empty where that is not known), difference (mean actionness inside minus
        outside) and auc (as `separation` has them; empty where all frames of a clip are on one
        side), actionness_1, ...
    """
    loaded = [load(path) for _, path in files]
    by_name = {str(arrays["dataset"]): arrays for arrays in loaded}
    examples = [
        (name, arrays, number)
        for name, arrays in by_name.items()
        for number in range(figure.examples)
        if f"{number}.row" in arrays
    ]
    table = pd.concat([_table(*named) for named in by_name.items()], ignore_index=True)
    measured = _measured(table)
    most_frames = max(len(arrays[f"{number}.frames"]) for _, arrays, number in examples)
    heights = [CLIP_HEIGHT] * len(examples)
    if len(measured):
        heights.append(MEASURED_HEIGHT)
    with drawing() as pyplot:
        size = (1.2 * most_frames + 1.6, sum(heights) + 0.8)
        canvas = pyplot.figure(figsize=size, layout="constrained")
        parts = np.atleast_1d(canvas.subfigures(len(heights), 1, height_ratios=heights))
        for part, (name, arrays, number) in zip(parts, examples):
            _draw_clip(part, name, arrays, number, figure.salient)
        if len(measured):
            _draw_measured(parts[-1], measured)
        lines = [figure.title, legend(), *map(_measured_text, measured.itertuples())]
        canvas.suptitle("\n".join(lines), fontsize=8)
    return canvas, table


def _table(name: str, arrays: Arrays) -> pd.DataFrame:
    """Return the rows of one data set in the CSV."""
    shown_rows = [int(value) for key, value in arrays.items() if key.endswith(".row")]
    shown = np.isin(arrays["rows"], shown_rows)
    scores = arrays["actionness"]
    table = pd.DataFrame(
        {
            "dataset": name,
            "split": arrays["splits"],
            "row": arrays["rows"],
            "class": arrays["classes"],
            "shown": shown.astype(int),
            **dict.fromkeys(("inside", "difference", "auc"), np.nan),
        }
    )
    kept = shown
    if "inside" in arrays:
        difference, auc = separation(scores, arrays["inside"])
        inside = arrays["inside"].sum(1)
        table = table.assign(inside=inside, difference=difference, auc=auc)
        kept = shown | ~np.isnan(auc)
    frames = {f"actionness_{frame + 1}": scores[:, frame] for frame in range(scores.shape[1])}
    return table.assign(**frames)[kept]


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """Return means and 95 % intervals over clips, by data set with known intervals and split."""
    rows = []
    for name, clips in table.groupby("dataset", sort=False):
        for split in SPLITS:
            own = clips[(clips.split == split) & clips["auc"].notna()]
            if len(own) < 2:
                continue
            row = {"dataset": name, "split": split, "clips": len(own)}
            for key in ("difference", "auc"):
                values = own[key].to_numpy()
                row[key] = float(values.mean())
                row[f"{key}_ci95"] = half_width(values)
            rows.append(row)
    return pd.DataFrame(rows)


def _measured_text(row) -> str:
    return (
        f"{row.dataset}, {row.clips:,} {SPLIT_LABELS[row.split]}: inside minus outside of the "
        f"action {row.difference:+.2f} ± {row.difference_ci95:.2f}; a frame inside is the more "
        f"salient in {100 * row.auc:.1f} ± {100 * row.auc_ci95:.1f} % of pairs"
    )


def _draw_clip(part, name: str, arrays: Arrays, number: int, salient: int) -> None:
    """Draw the frames of a clip, and a line of their actionness below."""
    index = int(np.flatnonzero(arrays["rows"] == arrays[f"{number}.row"])[0])
    scores = arrays["actionness"][index]
    pictures = np.moveaxis(arrays[f"{number}.frames"], 1, -1)
    boxes = [GROUPS[group] for group in groups(scores, salient)]
    grid = part.add_gridspec(2, len(pictures), height_ratios=[1.1, 1])
    part.suptitle(f"{name}: {arrays['classes'][index]}", fontsize=8)
    for i, picture in enumerate(pictures):
        axes = part.add_subplot(grid[0, i])
        axes.imshow(picture)
        axes.set_axis_off()
        draw_box(axes, boxes[i])
    line = part.add_subplot(grid[1, :])
    numbers = np.arange(1, len(scores) + 1)
    if "inside" in arrays:
        for frame in numbers[arrays["inside"][index]]:
            line.axvspan(frame - 0.5, frame + 0.5, color="0.88", linewidth=0)
    line.plot(numbers, scores, color="0.4", linewidth=1)
    line.scatter(numbers, scores, c=[COLORS[group] for group in boxes], s=22, zorder=3)
    line.set_xlim(0.5, len(scores) + 0.5)
    line.set_xticks(numbers)
    line.set_xlabel("frame" + ("; grey: the action" if "inside" in arrays else ""), fontsize=7)
    line.set_ylabel("actionness", fontsize=7)


def _draw_measured(part, measured: pd.DataFrame) -> None:
    """Draw means and intervals of both measures, a line for each data set and split."""
    labels = [f"{row.dataset},\n{SPLIT_LABELS[row.split]}" for row in measured.itertuples()]
    measures = (
        ("difference", 0.0, "inside minus outside (actionness)"),
        ("auc", 0.5, "area under the ROC curve, within a clip"),
    )
    all_axes = part.subplots(1, 2, sharey=True)
    rows = range(len(measured))
    for axes, (key, no_difference, label) in zip(all_axes, measures):
        style = dict(fmt="o", ms=4, color="0.2")
        axes.errorbar(measured[key], rows, xerr=measured[f"{key}_ci95"], **style)
        axes.axvline(no_difference, color="grey", linestyle=":", linewidth=1)
        axes.set_yticks(rows, labels, fontsize=7)
        axes.set_xlabel(label, fontsize=7)
        axes.margins(y=0.3)
    all_axes[0].invert_yaxis()
    part.suptitle("mean and 95 % interval over clips; dotted: nothing is told apart", fontsize=8)
