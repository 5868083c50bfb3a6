"""Clips that could not be used: the list next to a table, and a note in it for each data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fsar_core.data.index import read_index
from fsar_core.storage.places import Place, place
from fsar_core.storage.provenance import atomic_write
from fsar_core.stores.manifest import read_manifest

COLUMNS = ["dataset", "row", "path", "problem"]


class Lost(NamedTuple):
    """The clips of a data set that could not be used.

    Attributes:
        clips: of the data set, usable or not.
        failures: path and problem of those that could not be used, by row.
        allowed: share of them that the card allows, 0..1.
    """

    clips: int
    failures: dict[int, tuple[str, str]]
    allowed: float


def of_stores(stores: Iterable[Place], allowed: float) -> Lost:
    """Return the clips lost in any of a data set's frame stores.

    A table has several of them if its rows differ in the number of frames.
    """
    found: dict[int, tuple[str, str]] = {}
    clips = 0
    for store in stores:
        manifest = read_manifest(store)
        clips = manifest["clips"]
        for entry in manifest["failures"]:
            found.setdefault(entry["row"], (entry["path"], entry["problem"]))
    return Lost(clips, found, allowed)


def of_index(path: Place, allowed: float) -> Lost:
    """Return the clips lost according to a clip index, for a data set that is only counted."""
    index = read_index(path)
    broken = index[index.problem != ""]
    return Lost(len(index), dict(zip(broken.row, zip(broken.path, broken.problem))), allowed)


def of_table(spec: Mapping[str, Any]) -> dict[str, Lost]:
    """Return what each data set has lost, from the spec that `fsar table` is given."""
    allowed = spec.get("max_failures", {})
    lost = {}
    for name, stores in spec.get("frames", {}).items():
        lost[name] = of_stores(map(place, stores), allowed[name])
    for name, path in spec.get("indices", {}).items():
        if name in allowed:
            lost[name] = of_index(place(path), allowed[name])
    return lost


def notes(lost: Mapping[str, Lost], prefix: Path) -> list[str]:
    """Return a sentence for every data set that has lost a clip."""
    return [_note(name, one, listing(prefix)) for name, one in lost.items() if one.failures]


def _note(name: str, lost: Lost, file: Path) -> str:
    count = len(lost.failures)
    return (
        f"{count} of {lost.clips} clips of {name} could not be used and were left out "
        f"({count / lost.clips:.1%}, its card allows {lost.allowed:.1%}): they are listed, with "
        f"reasons, in {file.name}."
    )


def write(lost: Mapping[str, Lost], prefix: Path) -> None:
    """Write `<prefix>.left_out.csv` atomically: one line for every clip that could not be used."""
    rows = []
    for name, one in lost.items():
        rows += [(name, row, *one.failures[row]) for row in sorted(one.failures)]
    with atomic_write(listing(prefix)) as stream:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(stream, index=False, lineterminator="\n")


def listing(prefix: Path) -> Path:
    """Return the path of a table's list."""
    return prefix.with_name(f"{prefix.name}.left_out.csv")
