"""Clips that could not be used: the list beside a table, and a note in it for each data set that has lost some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fsar_core.data.index import read_index
from fsar_core.storage.places import Place, place
from fsar_core.storage.provenance import atomic_write
from fsar_core.stores.manifest import read_manifest

COLUMNS = ["dataset", "row", "path", "problem"]


class Lost(NamedTuple):
    """Clips of a data set, row -> (path, problem) of those that could not be used, and the share of them that its card allows."""

    clips: int
    failures: dict[int, tuple[str, str]]
    allowed: float


def of_stores(stores: Iterable[Place], allowed: float) -> Lost:
    """Of all frame stores behind a table that hold one data set (they differ in the number of frames)."""
    found: dict[int, tuple[str, str]] = {}
    clips = 0
    for store in stores:
        manifest = read_manifest(store)
        clips = manifest["clips"]
        for entry in manifest["failures"]:
            found.setdefault(entry["row"], (entry["path"], entry["problem"]))
    return Lost(clips, found, allowed)


def of_index(path: Place, allowed: float) -> Lost:
    """As the clip index has it, of a data set that is only counted."""
    index = read_index(path)
    broken = index[index.problem != ""]
    return Lost(len(index), dict(zip(broken.row, zip(broken.path, broken.problem))), allowed)


def of_table(
    frames: Mapping[str, Iterable[str]],
    indices: Mapping[str, str],
    max_failures: Mapping[str, float],
) -> dict[str, Lost]:
    """Return what each card behind a table has lost.

    Args:
        frames: card -> its frame stores.
        indices: card -> its clip index, of cards that are only counted.
        max_failures: card -> the share of its clips that may be unusable; an index of a card
            without it is skipped.
    """
    lost = {
        card: of_stores(map(place, stores), max_failures[card]) for card, stores in frames.items()
    }
    for card, path in indices.items():
        if card in max_failures:
            lost[card] = of_index(place(path), max_failures[card])
    return lost


def notes(lost: Mapping[str, Lost], prefix: Path) -> list[str]:
    """A sentence for every data set that has lost a clip."""
    return [
        f"{len(of.failures)} of {of.clips} clips of {name} could not be used and were left out "
        f"({len(of.failures) / of.clips:.1%}, its card allows {of.allowed:.1%}): they are listed, with reasons, in "
        f"{listing(prefix).name}."
        for name, of in lost.items()
        if of.failures
    ]


def write(lost: Mapping[str, Lost], prefix: Path) -> None:
    """`<prefix>.left_out.csv`, atomically: a line for every clip, none but the header where all could be used."""
    rows = [(name, row, *of.failures[row]) for name, of in lost.items() for row in sorted(of.failures)]
    with atomic_write(listing(prefix)) as stream:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(stream, index=False, lineterminator="\n")


def listing(prefix: Path) -> Path:
    """Where the list of a table lies."""
    return prefix.with_name(f"{prefix.name}.left_out.csv")
