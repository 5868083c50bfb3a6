"""Split lists that stand in for published ones, which are others' work and are not shipped: made up, with the class and clip
counts that a card expects. For what a data set would cost, and for dry runs; no clip of theirs exists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fsar_core.config import SPLITS, Card
from fsar_core.data.splits import COLUMNS, check
from fsar_core.errors import FsarError


def entries(card: Card, where: str) -> pd.DataFrame:
    """As `splits.check` gives them: one row a clip, spread evenly over the classes.

    Raises:
        FsarError: the card does not state the numbers (`expected`).
    """
    if any(card.expected.get(split, (0, None))[1] is None for split in SPLITS):
        raise FsarError(
            f"{where}: neither a split list nor the numbers of classes and clips of every split (`expected`); add one of both"
        )
    rows = [row for split in SPLITS for row in _split(card, split)]
    return check(pd.DataFrame(rows, columns=list(COLUMNS), dtype=str), card, where)


def _split(card: Card, split: str) -> Iterator[tuple[str, str, str, str]]:
    """The clips of a split; with its card's class names where it has them, which it lists in the order of the splits."""
    before = sum(card.expected[other][0] for other in SPLITS[: SPLITS.index(split)])
    classes, clips = card.expected[split]
    for number, own in enumerate(np.array_split(np.arange(clips), classes)):
        name = (
            card.classes[before + number]
            if card.classes
            else f"stand-in class {before + number:03d}"
        )
        for clip in own:
            path = f"{name}/{split}_{clip:06d}{card.files.extensions[0]}"
            yield split, name, path, f"{split}_{clip:06d}" if card.groups else ""
