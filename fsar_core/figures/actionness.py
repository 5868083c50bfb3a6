"""Figure of actionness: over the frames of a few test clips; and, where it is known in which frames of a clip its action is, how
actionness differs inside and outside of them, on the clips that the classifier was trained on and on those of other classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fsar_core.config import SPLITS
from fsar_core.evaluation.actionness import GROUPS, groups, separation
from fsar_core.evaluation.arrays import load
from fsar_core.evaluation.statistics import half_width
from fsar_core.figures.curves import drawing
from fsar_core.paper import ActionnessFigure

# As the boxes of SGTM, Fig. 3.
COLOURS = dict(zip(GROUPS, ("tab:blue", "tab:red", "tab:green")))
SEEN = {"train": "training clips (seen)", "val": "validation classes", "test": "test classes"}


def actionness(figure: ActionnessFigure, looks: list[tuple[str, Path]]):
    """For every example its boxed frames over a line of their actionness, and below all what is measured.

    Args:
        looks: (data set of the paper, file of `fsar inspect-saliency`); data sets that are one in truth are shown once.

    Returns:
        The matplotlib figure, and one row a clip that is shown or measured: dataset (really used), split, row (of the clip
        index), class, shown, inside (how many of its frames are in the action; empty where that is not known), difference
        (mean actionness inside minus outside) and auc (as `separation` has them; empty where a clip has frames on one side
        alone), actionness_1, ...
    """
    files = {str(found["dataset"]): found for found in (load(path) for _, path in looks)}
    examples = [
        (name, found, i) for name, found in files.items() for i in range(figure.examples) if f"{i}.row" in found
    ]
    table = pd.concat([_table(*one) for one in files.items()], ignore_index=True)
    measured = _measured(table)
    most = max(len(found[f"{i}.frames"]) for _, found, i in examples)
    with drawing() as pyplot:
        canvas = pyplot.figure(
            figsize=(1.2 * most + 1.6, 2.5 * len(examples) + 2.2 * bool(len(measured)) + 0.8), layout="constrained"
        )
        heights = [2.5] * len(examples) + [2.2] * bool(len(measured))
        parts = np.atleast_1d(canvas.subfigures(len(heights), 1, height_ratios=heights))
        for part, (name, found, i) in zip(parts, examples):
            _draw_clip(part, name, found, i, figure.salient)
        if len(measured):
            _draw_measured(parts[-1], measured)
        boxes = ", ".join(f"{COLOURS[group].removeprefix('tab:')} {group}" for group in GROUPS)
        canvas.suptitle("\n".join([figure.title, f"boxes: {boxes}", *map(_told, measured.itertuples())]), fontsize=8)
    return canvas, table


def boxed(axis, group: str) -> None:
    """A box around a picture, in the colour of its group."""
    from matplotlib.patches import Rectangle

    place = {"transform": axis.transAxes, "clip_on": False}
    axis.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=COLOURS[group], linewidth=2.5, **place))


def _table(name: str, found: dict[str, np.ndarray]) -> pd.DataFrame:
    shown = np.isin(found["rows"], [int(value) for key, value in found.items() if key.endswith(".row")])
    scores = found["actionness"]
    columns = {"dataset": name, "split": found["splits"], "row": found["rows"], "class": found["classes"]}
    unknown = dict.fromkeys(("inside", "difference", "auc"), np.nan)
    table = pd.DataFrame(columns | {"shown": shown.astype(int)} | unknown)
    kept = shown
    if "inside" in found:
        difference, auc = separation(scores, found["inside"])
        table = table.assign(inside=found["inside"].sum(1), difference=difference, auc=auc)
        kept = shown | ~np.isnan(auc)
    frames = {f"actionness_{frame + 1}": scores[:, frame] for frame in range(scores.shape[1])}
    return table.assign(**frames)[kept]


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """One row a data set with known intervals and split: means and 95 % intervals over its clips."""
    rows = []
    for name, clips in table.groupby("dataset", sort=False):
        for split in SPLITS:
            own = clips[(clips.split == split) & clips["auc"].notna()]
            if len(own) < 2:
                continue
            of = {key: _mean(own[key].to_numpy()) for key in ("difference", "auc")}
            flat = {f"{key}{end}": value for key, pair in of.items() for end, value in zip(("", "_ci95"), pair)}
            rows.append({"dataset": name, "split": split, "clips": len(own), **flat})
    return pd.DataFrame(rows)


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), half_width(values)


def _told(row) -> str:
    return (
        f"{row.dataset}, {row.clips:,} {SEEN[row.split]}: inside minus outside of the action {row.difference:+.2f} ± "
        f"{row.difference_ci95:.2f}; a frame inside is the more salient in {100 * row.auc:.1f} ± {100 * row.auc_ci95:.1f} % "
        f"of pairs"
    )


def _draw_clip(part, name: str, found: dict[str, np.ndarray], number: int, salient: int) -> None:
    place = int(np.flatnonzero(found["rows"] == found[f"{number}.row"])[0])
    scores, pictures = found["actionness"][place], found[f"{number}.frames"]
    group = [GROUPS[g] for g in groups(scores, salient)]
    grid = part.add_gridspec(2, len(pictures), height_ratios=[1.1, 1])
    part.suptitle(f"{name}: {found['classes'][place]}", fontsize=8)
    for i, picture in enumerate(np.moveaxis(pictures, 1, -1)):
        axis = part.add_subplot(grid[0, i])
        axis.imshow(picture)
        axis.set_axis_off()
        boxed(axis, group[i])
    line, numbers = part.add_subplot(grid[1, :]), np.arange(1, len(scores) + 1)
    if "inside" in found:
        for frame in numbers[found["inside"][place]]:
            line.axvspan(frame - 0.5, frame + 0.5, color="0.88", linewidth=0)
    line.plot(numbers, scores, color="0.4", linewidth=1)
    line.scatter(numbers, scores, c=[COLOURS[g] for g in group], s=22, zorder=3)
    line.set_xlim(0.5, len(scores) + 0.5)
    line.set_xticks(numbers)
    line.set_xlabel("frame" + ("; grey: the action" if "inside" in found else ""), fontsize=7)
    line.set_ylabel("actionness", fontsize=7)


def _draw_measured(part, measured: pd.DataFrame) -> None:
    labels = [f"{row.dataset},\n{SEEN[row.split]}" for row in measured.itertuples()]
    drawn = (
        ("difference", 0.0, "inside minus outside (actionness)"),
        ("auc", 0.5, "area under the ROC curve, within a clip"),
    )
    axes = part.subplots(1, 2, sharey=True)
    for axis, (key, nothing, label) in zip(axes, drawn):
        axis.errorbar(measured[key], range(len(measured)), xerr=measured[f"{key}_ci95"], fmt="o", ms=4, color="0.2")
        axis.axvline(nothing, color="grey", linestyle=":", linewidth=1)
        axis.set_yticks(range(len(measured)), labels, fontsize=7)
        axis.set_xlabel(label, fontsize=7)
        axis.margins(y=0.3)
    axes[0].invert_yaxis()
    part.suptitle("mean and 95 % interval over clips; dotted: nothing is told apart", fontsize=8)
