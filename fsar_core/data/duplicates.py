"""Videos that a data set has more than once: one file under several names, and files with equal content.

A file with two names could be the support and a query of one episode, or training and test data. This is
always a mistake in the list, and is rejected. Separate files with equal content may be intended, so they are
only reported.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from fsar_core.data.content import clip_sha256
from fsar_core.data.decoding import VideoProblem, pictures_in
from fsar_core.data.files import PICTURES
from fsar_core.errors import FsarError

REPEATED = "equal content"
ACROSS_CLASSES = "equal content across classes"
ACROSS_SPLITS = "equal content across splits"
_CONSEQUENCES = {
    REPEATED: "an episode may compare a video with itself",
    ACROSS_CLASSES: "WRONG LABELS: one video has two classes",
    ACROSS_SPLITS: "LEAK: a video is in several splits, so the test is not on unseen videos",
}


def check_distinct(entries: pd.DataFrame, files: Mapping[str, str], folder: Path) -> None:
    """Check that no two listed clips are the same file, whatever spellings, extensions or links lead to it.

    Args:
        entries: a split list with the columns split, class and path.
        files: the file below `folder` of every listed path that has one.
    Raises:
        FsarError: naming the file and the first two clips that share it.
    """
    first_with: dict[Hashable, tuple[str, str, str]] = {}
    repeated = []
    for split, name, path in entries[["split", "class", "path"]].itertuples(index=False):
        if path not in files:
            continue
        clip = (split, name, path)
        first = first_with.setdefault(_identity(Path(folder) / files[path]), clip)
        if first is not clip:
            repeated.append((first, clip))
    if repeated:
        first, second = repeated[0]
        more = f" ({len(repeated) - 1} more clips repeat a file)" if len(repeated) > 1 else ""
        raise FsarError(
            f"{Path(folder) / files[first[2]]}: {_described(*first)} and {_described(*second)} are this one file, by "
            f"another spelling or a link; keep one of the two clips{more}"
        )


def content_digests(index: pd.DataFrame) -> dict[str, str]:
    """Return the SHA-256 of each usable file of a clip index, as the index records it."""
    usable = index[(index.problem == "") & (index.sha256 != "")]
    return dict(zip(usable.file, usable.sha256))


def digests_of_equal_sizes(folder: Path, files: Iterable[str]) -> dict[str, str]:
    """SHA-256 of those files (or folders of pictures) below `folder` that are as large as another one."""
    of_size: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for file in files:
        try:
            sizes = tuple(part.stat().st_size for part in _parts(Path(folder) / file))
        except (OSError, VideoProblem):  # whoever opens the clip says what is wrong with it
            continue
        of_size[sizes].append(file)
    candidates = [file for group in of_size.values() if len(group) > 1 for file in group]
    return {file: clip_sha256(Path(folder) / file) for file in candidates}


def equal_content(clips: pd.DataFrame, digests: Mapping[str, str]) -> pd.DataFrame:
    """The clips whose content an earlier clip has already, with the columns `kind` and `reason`.

    Args:
        clips: columns split, class, path and file.
        digests: of the content, by file; files without one are unique.
    """
    first_with: dict[str, tuple[str, str, str]] = {}
    kinds, reasons, positions = [], [], []
    for position, row in enumerate(
        clips[["split", "class", "path", "file"]].itertuples(index=False, name=None)
    ):
        clip, file = row[:3], row[3]
        if file not in digests:
            continue
        first = first_with.setdefault(digests[file], clip)
        if first is clip:
            continue
        positions.append(position)
        kinds.append(_kind(first, clip))
        reasons.append(f"same content as {_described(*first)}; {_CONSEQUENCES[kinds[-1]]}")
    return clips.iloc[positions].assign(kind=kinds, reason=reasons)


def warnings(copies: pd.DataFrame) -> list[str]:
    """A line for each kind of copy, the gravest first; `copies` as `equal_content` returns them."""
    lines = []
    for kind in (ACROSS_SPLITS, ACROSS_CLASSES, REPEATED):
        part = copies[copies.kind == kind]
        if len(part):
            first = part.iloc[0]
            clips = "1 clip repeats" if len(part) == 1 else f"{len(part)} clips repeat"
            lines.append(
                f"warning: {clips} the content of another; '{first.path}' ({first.split}) has the {first.reason}"
            )
    return lines


def _identity(path: Path) -> Hashable:
    """Equal for all names of one file; its size is included because some network file systems reuse numbers."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    if not status.st_ino:  # a file system without numbers
        return os.path.realpath(path)
    return status.st_dev, status.st_ino, status.st_size


def _parts(path: Path) -> list[Path]:
    """The file itself, or the pictures of a folder of frames in their order."""
    if not path.is_dir():
        return [path]
    return [path / name for name in pictures_in(path, PICTURES)]


def _kind(first: tuple[str, str, str], second: tuple[str, str, str]) -> str:
    if first[0] != second[0]:
        return ACROSS_SPLITS
    return ACROSS_CLASSES if first[1] != second[1] else REPEATED


def _described(split: str, name: str, path: str) -> str:
    return f"'{path}' ({split}, class '{name}')"
