"""Figure of instance masks: predicted and true ones of clips whose masks were held out of training, and how well they agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fsar_core.errors import FsarError
from fsar_core.evaluation.arrays import load
from fsar_core.evaluation.statistics import half_width
from fsar_core.figures.attention import QUIET
from fsar_core.figures.curves import drawing
from fsar_core.paper import MasksFigure


def masks(figure: MasksFigure, looks: list[tuple[str, str, Path]]):
    """Three rows an example: frames, true masks, predicted ones.

    Args:
        looks: (data set of the paper, method, file of `fsar inspect`); data sets that are one in truth are shown once.

    Returns:
        The matplotlib figure, and one row a measured clip: dataset (really used), row (of the clip index), class, iou, tuned_iou,
        mean_mask_iou as `mask_quality` has them (empty where neither mask has anything), shown.
    """
    files = {str(found["dataset"]): found for found in (load(path) for _, _, path in looks)}
    examples = [
        (name, found, i) for name, found in files.items() for i in range(figure.examples) if f"{i}.row" in found
    ]
    most = max(len(found[f"{i}.frames"]) for _, found, i in examples)
    with drawing(**QUIET) as pyplot:
        canvas = pyplot.figure(figsize=(1.1 * most + 1.2, 3.6 * len(examples) + 0.6), layout="constrained")
        for part, (name, found, i) in zip(np.atleast_1d(canvas.subfigures(len(examples), 1)), examples):
            place = int(np.flatnonzero(found["rows"] == found[f"{i}.row"])[0])
            overlaps = f"overlap {found['iou'][place]:.2f} at 0.5, {found['tuned_iou'][place]:.2f} at the other cut"
            part.suptitle(f"{name}: {found['classes'][place]}; {overlaps}", fontsize=8)
            axes = part.subplots(3, len(found[f"{i}.frames"]), squeeze=False)
            for number, frame in enumerate(np.moveaxis(found[f"{i}.frames"], 1, -1)):
                axes[0, number].imshow(frame)
                axes[0, number].set_title(f"frame {number + 1}", fontsize=7)
                for row, side in ((1, "true"), (2, "predicted")):
                    axes[row, number].imshow(found[f"{i}.{side}"][number], cmap="gray", vmin=0, vmax=1)
            for row, label in enumerate(("frame", _source(found), "predicted")):
                axes[row, 0].set_ylabel(label, fontsize=7)
        told = [f"{name}: {_told(found)}" for name, found in files.items()]
        canvas.suptitle(
            "\n".join([figure.title, f"{figure.subject.method}, {figure.subject.shot}-shot", *told]), fontsize=8
        )
    return canvas, pd.concat([_table(*one) for one in files.items()], ignore_index=True)


def _told(found: dict[str, np.ndarray]) -> str:
    """Mean overlaps and their paired differences over the clips that have all."""
    rows = np.stack([found[name] for name in ("iou", "tuned_iou", "mean_iou")])
    own, tuned, usual = rows = rows[:, ~np.isnan(rows).any(0)]
    count, others = rows.shape[1], int(found["others"])
    if count < 2:
        raise FsarError(f"{count} clips with instances are too few to measure; raise `masks.held_out`")
    return (
        f"overlap (IoU) with {_source(found, 'the ')} masks of {count} held-out clips {_mean(own)} at 0.5, {_mean(tuned)} "
        f"at the cut that is best on {others} others;\nthe mean mask of these, cut likewise, {_mean(usual)}: paired differences "
        f"{_mean(own - usual, '+')} and {_mean(tuned - usual, '+')} (95 % intervals over clips)"
    )


def _source(found: dict[str, np.ndarray], article: str = "") -> str:
    """What the masks are that predicted ones are compared to: a teacher's are its opinion."""
    provider = str(found.get("provider", "annotated"))
    return f"{article}true" if provider == "annotated" else f"{provider}'s"


def _mean(values: np.ndarray, sign: str = "") -> str:
    return f"{values.mean():{sign}.3f} ± {half_width(values):.3f}"


def _table(name: str, found: dict[str, np.ndarray]) -> pd.DataFrame:
    shown = [int(value) for key, value in found.items() if key.endswith(".row")]
    return pd.DataFrame(
        {
            "dataset": name,
            "row": found["rows"],
            "class": found["classes"],
            "iou": found["iou"],
            "tuned_iou": found["tuned_iou"],
            "mean_mask_iou": found["mean_iou"],
            "shown": np.isin(found["rows"], shown).astype(int),
        }
    )
