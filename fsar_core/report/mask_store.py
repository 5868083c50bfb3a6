"""What a masks store holds: the masks of a few clips over their frames, and the scores of all.

Clips are shown by the rank of their score, evenly spaced from the lowest to the highest; where there are no scores, by their
rows. Nobody chooses them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fsar_core.components import registry
from fsar_core.data.class_prompts import CLASS, prompt, words
from fsar_core.errors import FsarError
from fsar_core.figures.attention import QUIET
from fsar_core.figures.curves import drawing
from fsar_core.specs import MaskSpec
from fsar_core.stores.reader import StoreReader

COLOUR = (1.0, 0.25, 0.1)
STRENGTH = 0.65  # of the colour where a mask is full


def scored(
    spec: MaskSpec, index: pd.DataFrame, masks: StoreReader, scores: StoreReader | None, shown: int
) -> pd.DataFrame:
    """One row a clip that has masks: dataset, row (of the clip index), class, prompt (empty where none is given), score and
    lowest_score (mean and minimum over the frames of the test view; empty where there are no scores), shown (0 or 1).

    Args:
        shown: clips to mark, at most. FsarError where no clip has masks.
    """
    rows = np.array([row for row in range(masks.clips) if row not in masks.failed])
    if not len(rows):
        raise FsarError(f"{masks.store}: no clip has masks; its manifest.json says what failed")
    prompted = registry.entry("instance_masks", spec.provider.name).attributes["prompted"]
    template = spec.provider.params.get("template", CLASS)
    classes = index["class"].to_numpy()[rows]
    found = np.full((len(rows), 1), np.nan) if scores is None else scores.read(rows)
    table = pd.DataFrame(
        {
            "dataset": spec.dataset,
            "row": rows,
            "class": classes,
            "prompt": [prompt(words(name), template) if prompted else "" for name in classes],
            "score": found.mean(1),
            "lowest_score": found.min(1),
            "shown": 0,
        }
    )
    order = table.score.argsort(kind="stable").to_numpy() if scores is not None else np.arange(len(rows))
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(shown, len(rows))).round().astype(int))
    table.loc[order[chosen], "shown"] = 1
    return table


def overlays(spec: MaskSpec, table: pd.DataFrame, masks: StoreReader, frames: StoreReader, scores: StoreReader | None):
    """A row of frames for every clip that is shown, its masks laid over in red, the score above each; a matplotlib figure."""
    chosen = table[table.shown == 1].sort_values("score" if scores is not None else "row", kind="stable")
    count = spec.frames.count
    with drawing(**QUIET) as pyplot:
        canvas, axes = pyplot.subplots(
            len(chosen),
            count,
            figsize=(1.2 * count + 1.2, 1.55 * len(chosen) + 0.7),
            squeeze=False,
            layout="constrained",
        )
        for line, clip in zip(axes, chosen.to_dict("records")):
            row = clip["row"]
            told = None if scores is None else scores.read_clip(row)
            for number, picture in enumerate(laid_over(frames.read_clip(row), masks.read_clip(row))):
                line[number].imshow(picture)
                title = f"frame {number + 1}" if told is None else f"{told[number]:.3f}"
                line[number].set_title(title, fontsize=7)
            line[0].set_ylabel(_wrapped(clip["prompt"] or clip["class"]), fontsize=7)
        by = "their rows" if scores is None else "their scores, which stand above the frames"
        canvas.suptitle(
            f"{spec.dataset}: masks of '{spec.provider.name}', {len(chosen)} of {len(table)} clips, evenly spaced by {by}",
            fontsize=8,
        )
    return canvas


def laid_over(frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """uint8 [frames height width 3]: grey pictures, coloured as far as the masks [frames height width] are there."""
    grey = frames.mean(-1, keepdims=True).repeat(3, -1)
    share = STRENGTH * masks[..., None] / 255
    return ((1 - share) * grey + share * 255 * np.array(COLOUR)).round().astype(np.uint8)


def _wrapped(text: str, width: int = 18) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))
