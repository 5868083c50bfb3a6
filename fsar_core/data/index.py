"""The clip index: one row for every clip that a split list names, in the order of every store.

Columns: row (position in every store), split, class, path (as listed), group, file (below the data set's folder; empty where
missing), frames, fps (0: unknown), duration (seconds; 0: unknown), height, width, decoder (decord, pyav or pictures), problem
(empty where the clip is sound, else its kind, a colon and why).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fsar_core.data import splits
from fsar_core.errors import FsarError
from fsar_core.provenance import atomic_write

TEXT = (*splits.COLUMNS, "file", "decoder", "problem")
NUMBERS = {"fps": float, "duration": float}
COLUMNS = ("row", *splits.COLUMNS, "file", "frames", "fps", "duration", "height", "width", "decoder", "problem")


def write_index(path: Path, index: pd.DataFrame) -> None:
    """Tab-separated, atomically."""
    with atomic_write(path) as stream:
        index.to_csv(stream, sep="\t", index=False, lineterminator="\n", float_format="%.6g")


def read_index(path: Path) -> pd.DataFrame:
    """The index as it was written; text columns stay text."""
    try:
        index = pd.read_csv(path, sep="\t", dtype=dict.fromkeys(TEXT, str) | NUMBERS, keep_default_na=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FsarError(f"{path}: no readable clip index ({reason}); make it with `fsar index`") from None
    missing = [name for name in COLUMNS if name not in index]
    if missing:
        raise FsarError(f"{path}: no clip index, the column '{missing[0]}' is missing; make it with `fsar index`")
    return index
