"""The clip index: one row for every clip that a split list names, in the order of every store.

Columns: row (position in every store), split, class, path (as listed), group, file (below the data set's folder; empty where
missing), frames, fps (0: unknown), duration (seconds; 0: unknown), height, width, decoder (decord, pyav or pictures), problem
(empty where the clip is sound, else its kind, a colon and why), sha256 (of the clip's file, or of the names and bytes of its
pictures; empty where nothing could be read, and in indices of before it was recorded). The last line is a checksum of all others.
"""

from __future__ import annotations

import hashlib
import io
import re

import pandas as pd

from fsar_core.data import splits
from fsar_core.errors import FsarError, mend
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import atomic_write, check_format, digest

FORMAT = 1  # raised by hand when what an index holds changes
MARK = b"# clip index, format "
LAST_LINE = re.compile(MARK + rb"([0-9]{1,9}), sha256 ([0-9a-f]{64})\n?")

TEXT = (*splits.COLUMNS, "file", "decoder", "problem", "sha256")
NUMBERS = {"fps": float, "duration": float}
LATER = ("sha256",)  # columns that older indices lack; read as empty texts
MEASURED = ("frames", "fps", "duration", "height", "width", "decoder", "problem", *LATER)
COLUMNS = ("row", *splits.COLUMNS, "file", *MEASURED)
LOST = "lost"  # the kind of problem of a clip whose decoder's process died or hung, twice


def write_index(path: Place, index: pd.DataFrame) -> None:
    """Tab-separated, atomically."""
    text = index.to_csv(sep="\t", index=False, lineterminator="\n", float_format="%.6g").encode()
    with atomic_write(path, "wb") as stream:
        stream.write(
            text + MARK + f"{FORMAT}, sha256 {hashlib.sha256(text).hexdigest()}\n".encode()
        )


def read_index(path: Place) -> pd.DataFrame:
    """The index as it was written; text columns stay text. One without a last line is of before there were checksums.

    Raises:
        FsarError: missing, damaged, no clip index, or of a newer format.
    """
    try:
        text = _checked(path.read_bytes(), path)
        options = dict(dtype=dict.fromkeys(TEXT, str) | NUMBERS, keep_default_na=False)
        index = pd.read_csv(io.BytesIO(text), sep="\t", **options)
    except OSError as error:
        raise FsarError(
            f"{path}: no readable clip index ({error.strerror}); make it with `fsar index`"
        ) from None
    except ValueError as error:
        raise FsarError(f"{path}: no readable clip index ({error}); {mend(path)}") from None
    for name in LATER:
        if name not in index:
            index[name] = ""
    missing = [name for name in COLUMNS if name not in index]
    if missing:
        raise FsarError(
            f"{path}: no clip index, the column '{missing[0]}' is missing; make it with `fsar index`"
        )
    if index.row.tolist() != list(range(len(index))):
        raise FsarError(f"{path}: damaged (its rows are not numbered 0, 1, 2, ...); {mend(path)}")
    return index


def index_identity(index: pd.DataFrame) -> str:
    """SHA-256 of what the rows of an index mean: row, split, class, listed path and source group.

    Two indices with the same identity number the same clips in the same way, so that a store, an
    episode table or a model made from one may be used with the other. What was measured of the
    files (frames, size, decoder) is not part of it.

    Args:
        index: as `read_index` returns it.
    Returns:
        64 hexadecimal digits.
    """
    rows = index[["row", *splits.COLUMNS]].astype(str).to_numpy().tolist()
    return digest(rows, length=64)


def lost_clips(index: pd.DataFrame) -> list[str]:
    """The listed paths of clips whose decoder's process died or hung, so that another attempt may succeed."""
    return index.path[index.problem.str.startswith(f"{LOST}: ")].tolist()


def index_sums(path: Place) -> set[str]:
    """What may be the checksum of the lines that were written: the last line's, and that of the lines above it."""
    data = path.read_bytes()
    start = data.rfind(MARK)
    found = LAST_LINE.fullmatch(data, max(start, 0))
    above = hashlib.sha256(data[:start] if start >= 0 else data).hexdigest()
    return {above, found[2].decode()} if found else {above}


def _checked(data: bytes, path: Place) -> bytes:
    """The lines above the last, or all where the last is no checksum."""
    start = data.rfind(MARK)
    if start < 0:
        return data
    found = LAST_LINE.fullmatch(data, start)
    if found is None or hashlib.sha256(data[:start]).hexdigest().encode() != found[2]:
        raise FsarError(f"{path}: damaged (its content is not that of its sha256); {mend(path)}")
    check_format(int(found[1]), FORMAT, path)
    return data[:start]
