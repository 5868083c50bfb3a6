"""Import published split lists from files to a file: what `fsar import-split` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fsar_core.config import Card
from fsar_core.data import split_formats, splits
from fsar_core.data.duplicates import check_distinct
from fsar_core.data.files import FileFinder
from fsar_core.errors import FsarError

ANY_FORMAT = "auto"


def lists_in(path: Path) -> dict[str, Path]:
    """Return the lists of a folder by split; a file, which lists all splits, counts as `train`."""
    return split_formats.by_split(path) if path.is_dir() else {"train": path}


def import_split(
    lists: Mapping[str, Path],
    source: Path,
    out: Path,
    card: Card | None = None,
    kind: str = ANY_FORMAT,
    labels: Sequence[Path] = (),
    names: Mapping[str, Path] | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Turn lists into a checked split.tsv.

    Args:
        lists: by split.
        source: what errors name: the folder of the lists, or a file.
        out: the split.tsv; an older one is replaced.
        card: its expected counts, paths and source videos; None expects nothing.
        kind: one of `split_formats.FORMATS`, or `auto`.
        labels: JSON files with the ids and templates of Something-Something V2.
        names: files with the names of classes, by split.
        folder: of the videos; counts how many of the clips are there.
        say: receives lines for the user.
    Raises:
        FsarError: a list cannot be read, or is not what the card expects; nothing is written.
    """
    if folder and not folder.is_dir():
        raise FsarError(f"{folder}: no such folder; expected that of the videos")
    if out.is_dir():
        raise FsarError(f"{out}: a folder; expected the name of the split.tsv to write")
    card = card or Card.model_construct()
    if kind == ANY_FORMAT:
        kind = split_formats.detect(lists)
    entries, sources = split_formats.read(kind, lists, labels, names or {})
    entries, strangers = split_formats.arranged(entries, card)
    lines = split_formats.report(entries, card, sources, strangers)
    say("\n".join([f"format: {kind}", *lines]))
    entries = splits.check(entries, card, source)
    if folder:
        files, missing = FileFinder(folder, card.files).find_all(entries.path)
        first = [f"; first missing: {path} ({reason})" for path, reason in missing.items()][:1]
        present = len(entries) - len(missing)
        say(f"{present} of {len(entries)} clips are below {folder}{''.join(first)}")
        check_distinct(entries, files, folder)
    splits.write(out, entries)
