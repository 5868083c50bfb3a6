"""Pictures of a masks store: the masks of a few clips over their frames, and the scores of all.

Clips are chosen by the rank of their score, evenly spaced from the lowest to the highest; where
there are no scores, by their rows.
"""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from fsar_core.components import registry
from fsar_core.data.class_prompts import CLASS, prompt, words
from fsar_core.errors import FsarError
from fsar_core.rendering.drawing import PLAIN, drawing
from fsar_core.specs import MaskSpec
from fsar_core.stores.reader import StoreReader

COLOR = (1.0, 0.25, 0.1)
OPACITY = 0.65  # of the color where a mask is full
LABEL_WIDTH = 18  # letters beside a row of frames before they continue on the next line


def score_clips(
    spec: MaskSpec, index: pd.DataFrame, masks: StoreReader, scores: StoreReader | None, shown: int
) -> pd.DataFrame:
    """Return one row for each clip that has masks, with some of them marked to be shown.

    Columns: dataset, row (of the clip index), class, prompt (empty without one), score and
    lowest_score (mean and minimum over the frames of the test view; empty without scores), shown (0
    or 1).

    Args:
        shown: clips to mark, at most.
    Raises:
        FsarError: no clip has masks.
    """
    rows = np.array([row for row in range(masks.clips) if row not in masks.failed])
    if not len(rows):
        raise FsarError(f"{masks.store}: no clip has masks; its manifest.json says what failed")
    prompted = registry.entry("instance_masks", spec.provider.name).attributes["prompted"]
    template = spec.provider.params.get("template", CLASS)
    classes = index["class"].to_numpy()[rows]
    by_frame = np.full((len(rows), 1), np.nan) if scores is None else scores.read(rows)
    table = pd.DataFrame(
        {
            "dataset": spec.dataset,
            "row": rows,
            "class": classes,
            "prompt": [prompt(words(name), template) if prompted else "" for name in classes],
            "score": by_frame.mean(1),
            "lowest_score": by_frame.min(1),
            "shown": 0,
        }
    )
    order = np.arange(len(rows))
    if scores is not None:
        order = table.score.argsort(kind="stable").to_numpy()
    chosen = np.linspace(0, len(rows) - 1, min(shown, len(rows))).round().astype(int)
    table.loc[order[np.unique(chosen)], "shown"] = 1
    return table


def draw_overlays(
    spec: MaskSpec,
    table: pd.DataFrame,
    masks: StoreReader,
    frames: StoreReader,
    scores: StoreReader | None,
):
    """Draw a row of frames for every clip that is shown, its masks over them in red.

    The score of each frame stands above it.
    """
    by = "row" if scores is None else "score"
    chosen = table[table.shown == 1].sort_values(by, kind="stable")
    count = spec.frames.count
    with drawing(**PLAIN) as pyplot:
        canvas, axes = pyplot.subplots(
            len(chosen),
            count,
            figsize=(1.2 * count + 1.2, 1.55 * len(chosen) + 0.7),
            squeeze=False,
            layout="constrained",
        )
        for line, clip in zip(axes, chosen.to_dict("records")):
            row = clip["row"]
            clip_scores = None if scores is None else scores.read_clip(row)
            pictures = overlay_masks(frames.read_clip(row), masks.read_clip(row))
            for number, picture in enumerate(pictures):
                line[number].imshow(picture)
                title = f"frame {number + 1}"
                if clip_scores is not None:
                    title = f"{clip_scores[number]:.3f}"
                line[number].set_title(title, fontsize=7)
            label = textwrap.wrap(clip["prompt"] or clip["class"], LABEL_WIDTH)
            line[0].set_ylabel("\n".join(label), fontsize=7)
        order = "their rows"
        if scores is not None:
            order = "their scores, which stand above the frames"
        canvas.suptitle(
            f"{spec.dataset}: masks of '{spec.provider.name}', {len(chosen)} of {len(table)} clips, "
            f"evenly spaced by {order}",
            fontsize=8,
        )
    return canvas


def overlay_masks(frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return gray pictures, colored where the masks are.

    Args:
        frames: uint8 [frames height width 3].
        masks: uint8 [frames height width], 255 where a mask is full.

    Returns:
        uint8 [frames height width 3].
    """
    gray = frames.mean(-1, keepdims=True).repeat(3, -1)
    share = OPACITY * masks[..., None] / 255
    return ((1 - share) * gray + share * 255 * np.array(COLOR)).round().astype(np.uint8)
