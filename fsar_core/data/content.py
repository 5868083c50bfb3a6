"""Digests of the files that clips come from, so that results are bound to the bytes they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from fsar_core.data.decoding import VideoProblem, pictures_in
from fsar_core.data.files import PICTURES
from fsar_core.storage.provenance import digest, file_sha256


def clip_sha256(path: Path, endings: tuple[str, ...] = PICTURES) -> str:
    """SHA-256 of a video, or of the names and bytes of the pictures in a folder.

    Args:
        endings: of the pictures that count; a folder may hold other files.
    Returns:
        64 hexadecimal digits; an empty text where nothing can be read.
    """
    try:
        if not path.is_dir():
            return file_sha256(path)
        pictures = {name: file_sha256(path / name) for name in pictures_in(path, endings)}
    except (OSError, VideoProblem):
        return ""
    return digest(pictures, length=64)


def clip_sha256s(
    paths: Sequence[Path], threads: int = 1, endings: tuple[str, ...] = PICTURES
) -> list[str]:
    """`clip_sha256` of every path, several at a time."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(partial(clip_sha256, endings=endings), paths))


def time_stamps(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Size and modification time of every path; (-1, -1) where there is no such file."""
    return [_time_stamp(path) for path in paths]


def _time_stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns
