"""Where in its clips the action of a data set is: a tab-separated list `path start end`, in frames from 0, `end` the first
one behind it. Clips that it does not name are not known to have a part without action. What the card calls `intervals`; only
measurements read it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from fsar_core.errors import FsarError
from fsar_core.storage.provenance import atomic_write

COLUMNS = ("path", "start", "end")


def write(path: Path, intervals: Mapping[str, tuple[int, int]]) -> None:
    """A list of clips by path, atomically."""
    with atomic_write(path) as stream:
        stream.write("\t".join(COLUMNS) + "\n")
        stream.writelines(f"{clip}\t{start}\t{end}\n" for clip, (start, end) in intervals.items())


def read(path: Path) -> dict[str, tuple[int, int]]:
    """Path of a clip -> first frame of its action and the first one behind it. FsarError names the line that is wrong."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError:
        raise FsarError(f"{path}: no such list; the card names it under `intervals`") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FsarError(
            f"{path}: no readable list of intervals ({getattr(error, 'strerror', None) or error})"
        ) from None
    if not rows or tuple(rows[0]) != COLUMNS:
        found = " ".join(rows[0]) if rows else "an empty file"
        raise FsarError(
            f"{path} line 1: expected the header {' '.join(COLUMNS)} (tabs between), found {found}"
        )
    intervals: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows[1:], start=2):
        if (
            len(row) != len(COLUMNS)
            or not all(word.isdecimal() for word in row[1:])
            or int(row[1]) >= int(row[2])
        ):
            found = " ".join(row)
            raise FsarError(
                f"{path} line {number}: expected a path and two whole numbers, start below end; found {found}"
            )
        if row[0] in intervals:
            raise FsarError(f"{path} line {number}: clip '{row[0]}' is listed twice")
        intervals[row[0]] = int(row[1]), int(row[2])
    return intervals
