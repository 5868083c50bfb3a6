"""Instance masks that a head predicts, beside the true ones.

Shown and measured on training clips whose masks were held out of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from fsar_core.bounds import Episodes, Examples
from fsar_core.components.registry import Entry
from fsar_core.errors import FsarError
from fsar_core.evaluation.arrays import load
from fsar_core.evaluation.statistics import half_width
from fsar_core.figures._examples import quoted_heads
from fsar_core.papers.kinds import FigureInputs, FigureKind, InspectionFile
from fsar_core.papers.models import Subject
from fsar_core.papers.needs import (
    Actionness,
    Experiment,
    FigureNeeds,
    Inspection,
    InspectionNeed,
)
from fsar_core.rendering.drawing import PLAIN, drawing

Arrays = Mapping[str, np.ndarray]


class MasksFigure(FigureKind):
    """Kind masks: predicted and true instance masks of held-out training clips.

    Attributes:
        examples: clips that are shown of every data set.
        clips: how many are measured at most; the mean mask is computed from as many others.
    """

    caption: ClassVar[str] = (
        "Masks that the network predicts beside the true ones, on training clips whose masks it "
        "was never shown. How much they overlap (IoU: the common area over the area of both) is "
        "measured over many clips, and beside it how much the mean mask of the other clips does, "
        "which knows nothing of a frame."
    )
    inspection: ClassVar[str] = "fsar_core.evaluation.mask_quality:inspect"

    kind: Literal["masks"]
    datasets: list[str] = Field(min_length=1)
    subject: Subject
    examples: Examples = 2
    clips: Episodes = 1000

    def measured_on(self) -> list[str]:
        return list(self.datasets)

    def needs(self) -> FigureNeeds:
        inspections = []
        for dataset in self.datasets:
            experiment = Experiment.of_subject(self.subject, dataset)
            inspections.append(InspectionNeed(self.subject, experiment, reads_masks=True))
        return FigureNeeds(inspections=tuple(inspections))

    def wanted(self, datasets: Sequence[str]) -> dict[str, Any]:
        return {"masks": self.examples, "clips": self.clips}

    def unsuitable(self, head: Entry) -> str | None:
        if head.attributes["predicts_masks"]:
            return None
        return f"predicts no masks; choose {quoted_heads('predicts_masks')}"

    def check(
        self, preset: str, inspections: Sequence[Inspection], actionness: Sequence[Actionness]
    ) -> None:
        method = self.subject.method
        for inspection in inspections:
            if inspection.run.masks is None:
                raise FsarError(f"'{method}' learns from no masks, so it predicts none")
            if not inspection.run.masks_held_out:
                raise FsarError(
                    f"preset '{preset}' holds no masks out (`masks.held_out` is 0), so none is "
                    f"left that '{method}' was not shown"
                )

    def draw(self, inputs: FigureInputs):
        return draw_masks(self, inputs.inspections)


def draw_masks(figure: MasksFigure, inspections: Sequence[InspectionFile]):
    """Draw three rows for each example: frames, true masks, predicted ones.

    Data sets of the paper that share a card are shown once.

    Returns:
        The matplotlib figure, and one row for each measured clip: dataset (really used), row (of
        the clip index), class, iou, tuned_iou, mean_mask_iou as `mask_quality` has them (empty
        where both masks are empty), shown.
    """
    loaded = [load(path) for _, _, path in inspections]
    files = {str(arrays["dataset"]): arrays for arrays in loaded}
    examples = [
        (name, arrays, number)
        for name, arrays in files.items()
        for number in range(figure.examples)
        if f"{number}.row" in arrays
    ]
    most_frames = max(len(arrays[f"{number}.frames"]) for _, arrays, number in examples)
    with drawing(**PLAIN) as pyplot:
        canvas = pyplot.figure(
            figsize=(1.1 * most_frames + 1.2, 3.6 * len(examples) + 0.6), layout="constrained"
        )
        parts = np.atleast_1d(canvas.subfigures(len(examples), 1))
        for part, (name, arrays, number) in zip(parts, examples):
            _draw_example(part, name, arrays, number)
        lines = [figure.title, f"{figure.subject.method}, {figure.subject.shot}-shot"]
        lines += [f"{name}: {_overlap_text(arrays)}" for name, arrays in files.items()]
        canvas.suptitle("\n".join(lines), fontsize=8)
    table = pd.concat([_table(*named) for named in files.items()], ignore_index=True)
    return canvas, table


def _draw_example(part, name: str, arrays: Arrays, number: int) -> None:
    """Draw one clip: its frames, true masks and predicted masks."""
    index = int(np.flatnonzero(arrays["rows"] == arrays[f"{number}.row"])[0])
    overlap, tuned = arrays["iou"][index], arrays["tuned_iou"][index]
    part.suptitle(
        f"{name}: {arrays['classes'][index]}; overlap {overlap:.2f} at 0.5, {tuned:.2f} at the "
        f"other cut",
        fontsize=8,
    )
    frames = np.moveaxis(arrays[f"{number}.frames"], 1, -1)
    axes = part.subplots(3, len(frames), squeeze=False)
    for column, frame in enumerate(frames):
        axes[0, column].imshow(frame)
        axes[0, column].set_title(f"frame {column + 1}", fontsize=7)
        for row, side in ((1, "true"), (2, "predicted")):
            mask = arrays[f"{number}.{side}"][column]
            axes[row, column].imshow(mask, cmap="gray", vmin=0, vmax=1)
    for row, label in enumerate(("frame", _source(arrays), "predicted")):
        axes[row, 0].set_ylabel(label, fontsize=7)


def _overlap_text(arrays: Arrays) -> str:
    """Return mean overlaps and their paired differences over the clips that have all of them."""
    overlaps = np.stack([arrays[name] for name in ("iou", "tuned_iou", "mean_iou")])
    own, tuned, usual = overlaps[:, ~np.isnan(overlaps).any(0)]
    if len(own) < 2:
        raise FsarError(
            f"{len(own)} clips with instances are too few to measure; raise `masks.held_out`"
        )
    return (
        f"overlap (IoU) with {_source(arrays, 'the ')} masks of {len(own)} held-out clips "
        f"{_mean(own)} at 0.5, {_mean(tuned)} at the cut that is best on {int(arrays['others'])} "
        f"others;\nthe mean mask of these, cut likewise, {_mean(usual)}: paired differences "
        f"{_mean(own - usual, '+')} and {_mean(tuned - usual, '+')} (95 % intervals over clips)"
    )


def _source(arrays: Arrays, article: str = "") -> str:
    """Return what the masks are that predicted ones are compared to: a teacher's are not true."""
    provider = str(arrays.get("provider", "annotated"))
    return f"{article}true" if provider == "annotated" else f"{provider}'s"


def _mean(values: np.ndarray, sign: str = "") -> str:
    return f"{values.mean():{sign}.3f} ± {half_width(values):.3f}"


def _table(name: str, arrays: Arrays) -> pd.DataFrame:
    shown = [int(value) for key, value in arrays.items() if key.endswith(".row")]
    return pd.DataFrame(
        {
            "dataset": name,
            "row": arrays["rows"],
            "class": arrays["classes"],
            "iou": arrays["iou"],
            "tuned_iou": arrays["tuned_iou"],
            "mean_mask_iou": arrays["mean_iou"],
            "shown": np.isin(arrays["rows"], shown).astype(int),
        }
    )
