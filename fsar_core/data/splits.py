"""Split lists: which clip belongs to which class and split. Names are data here, never patterns or shell words.

The project's own format is `split.tsv`, tab-separated with the header `split class path group`: split is train, val or
test, path is relative to the data set's folder (`/` between folders), group names the source video or is empty.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pandas as pd

from fsar_core.config import CONTROL, SPLITS, Card, relative
from fsar_core.data.files import stem
from fsar_core.data.lookalikes import lookalikes
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.storage.provenance import atomic_write

COLUMNS = ("split", "class", "path", "group")


def read(path: Path) -> pd.DataFrame:
    """One row a clip with the columns split, class, path, group, in the order of the file."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError:
        raise FsarError(
            f"{path}: no such split list; expected a split.tsv with the header {' '.join(COLUMNS)}"
        ) from None
    except UnicodeDecodeError as error:
        raise FsarError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except (OSError, csv.Error) as error:
        raise FsarError(
            f"{path}: no readable split list ({getattr(error, 'strerror', None) or error})"
        ) from None
    if not rows or tuple(rows[0]) != COLUMNS:
        found = " ".join(rows[0]) if rows else "an empty file"
        raise FsarError(
            f"{path} line 1: expected the header {' '.join(COLUMNS)} (tabs between), found {found}"
        )
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise FsarError(
                f"{path} line {number}: expected {len(COLUMNS)} tab-separated fields, found {len(row)}"
            )
        if row[0] not in SPLITS:
            raise FsarError(
                f"{path} line {number}: unknown split '{row[0]}'{did_you_mean(row[0], SPLITS)}"
            )
        if not row[1].strip():
            raise FsarError(
                f"{path} line {number}: the class of clip '{row[2]}' is empty; expected a name"
            )
        try:
            relative(row[2])
        except ValueError as error:
            raise FsarError(f"{path} line {number}: {error}") from None
    return pd.DataFrame(rows[1:], columns=list(COLUMNS), dtype=str)


def write(path: Path, entries: pd.DataFrame) -> None:
    """Write entries as split.tsv, atomically. FsarError for a name that holds a tab or a line break."""
    for row in entries[list(COLUMNS)].itertuples(index=False):
        broken = [field for field in row if set(field) & set("\t\r\n")]
        if broken:
            raise FsarError(
                f"{path}: {broken[0]!r} holds a tab or a line break, which split.tsv cannot; rename it"
            )
        if any(not _is_text(field) for field in row):
            raise FsarError(f"{path}: {row} holds bytes that are no UTF-8 text; rename the file")
    with atomic_write(path) as stream:
        stream.write("\t".join(COLUMNS) + "\n")
        stream.writelines(
            "\t".join(row) + "\n" for row in entries[list(COLUMNS)].itertuples(index=False)
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # how Python shows file names that are not UTF-8
        return False
    return True


def check(entries: pd.DataFrame, card: Card, where: Path) -> pd.DataFrame:
    """Entries in stored order, after the checks that need no video. FsarError names the first offence."""
    if entries.empty:
        raise FsarError(f"{where}: names no clip")
    for column in ("class", "path", "group"):
        strange = entries[column][entries[column].str.contains(CONTROL, regex=True)]
        if len(strange):
            raise FsarError(
                f"{where}: the {column} {strange.iloc[0]!r} holds a control character; rename it"
            )
    alike = lookalikes(entries["class"].unique())
    if alike:
        raise FsarError(
            f"{where}: the classes {alike[0]!a} and {alike[1]!a} look alike and differ in the signs that are written out "
            f"here; use one spelling"
        )
    repeated = entries.path[entries.path.duplicated()]
    if len(repeated):
        raise FsarError(
            f"{where}: clip '{repeated.iloc[0]}' is listed {(entries.path == repeated.iloc[0]).sum()} times"
        )
    _check_spellings(entries, where)
    split_of: dict[str, str] = {}
    for split, name in entries[["split", "class"]].drop_duplicates().itertuples(index=False):
        if split_of.setdefault(name, split) != split:
            raise FsarError(
                f"{where}: class '{name}' is in both {split_of[name]} and {split}; splits must not share classes"
            )
        if card.classes is not None and name not in card.classes:
            raise FsarError(
                f"{where}: unknown class '{name}' in {split}{did_you_mean(name, card.classes)}"
            )
    for split, (classes, clips) in card.expected.items():
        found = entries[entries.split == split]
        if found["class"].nunique() != classes:
            raise FsarError(
                f"{where}: {found['class'].nunique()} classes in {split}, expected {classes} by the card"
            )
        if clips is not None and len(found) != clips:
            raise FsarError(f"{where}: {len(found)} clips in {split}, expected {clips} by the card")
    if card.groups and (entries.group == "").any():
        first = entries.path[entries.group == ""].iloc[0]
        raise FsarError(f"{where}: clip '{first}' has no group, but the card says `groups: true`")
    if not card.groups_across_splits:
        _check_groups(entries, card, where)
    order = entries.split.map({split: number for number, split in enumerate(SPLITS)})
    return (
        entries.assign(_order=order)
        .sort_values(["_order", "class", "path"])
        .drop(columns="_order")
        .reset_index(drop=True)
    )


def group_rule(group: str, name: str) -> re.Pattern:
    """The regular expression of a card's `group` for the clips of one class."""
    return re.compile(group.replace("{class}", re.escape(name.replace(" ", "_"))))


def _check_spellings(entries: pd.DataFrame, where: Path) -> None:
    """FsarError where two paths differ only by `.` and repeated slashes, and so are one file."""
    doubtful = entries.path.str.contains(r"//|(?:^|/)\./|/$|/\.$", regex=True)
    if not doubtful.any():
        return
    plain = entries.path.map(
        lambda path: "/".join(part for part in path.split("/") if part not in ("", "."))
    )
    repeated = plain[plain.duplicated()]
    if len(repeated):
        first, second = entries.path[plain == repeated.iloc[0]].iloc[:2]
        raise FsarError(f"{where}: clips '{first}' and '{second}' are one file; list it once")


def _check_groups(entries: pd.DataFrame, card: Card, where: Path) -> None:
    """FsarError where one source video gives clips to two splits."""
    first_of: dict[str, tuple[str, str]] = {}
    for split, name, path, group in entries[list(COLUMNS)].itertuples(index=False, name=None):
        # A name that the card's `group` does not fit is its own group. Two equal names need not be one source video.
        if not group or _own_group(name, path, group, card):
            continue
        first_split, first_path = first_of.setdefault(group, (split, path))
        if first_split != split:
            raise FsarError(
                f"{where}: the source video '{group}' gives clips to {first_split} ('{first_path}') and to {split} ('{path}'); "
                "put their classes into one split or leave clips out, or set `groups_across_splits: true` in the card if "
                "the published split is like this"
            )


def _own_group(name: str, path: str, group: str, card: Card) -> bool:
    """Whether a clip is in a group of its own because its name does not fit the card's `group`."""
    video = stem(path.rpartition("/")[2], card.files)
    return (
        card.group is not None
        and group == video
        and not group_rule(card.group, name).fullmatch(video)
    )
