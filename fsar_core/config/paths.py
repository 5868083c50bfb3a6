"""Which relative paths configurations, cards and split lists may name."""

from __future__ import annotations

import re

# Control characters in a path are a mistake or an attack.
CONTROL = re.compile("[\x00-\x1f\x7f]")
LONGEST_PATH = 4000  # characters; file systems take 4096 bytes
LONGEST_NAME = 255  # bytes of one part of a path
SHOWN = 40  # characters of a path that is too long to be quoted in a message


def without_braces(path: str) -> str:
    """Return a path that can be an input or output of a rule.

    Raises:
        ValueError: for a path that Snakemake would take for a pattern.
    """
    if set(path) & set("{}"):
        raise ValueError(
            f"'{path}' holds braces, which Snakemake takes for wildcards; choose another name"
        )
    return path


def relative(path: str) -> str:
    """Return a path that stays below its root.

    Raises:
        ValueError: for absolute paths, `..`, backslashes, control characters and paths that are
            longer than file systems take.
    """
    # No pathlib: split lists have 72,000 paths, and every start of Snakemake reads them.
    parts = set(path.split("/")) - {"", "."}
    if path.startswith("/") or ".." in parts or "\\" in path or not parts or CONTROL.search(path):
        shown = repr(path) if CONTROL.search(path) else f"'{path}'"
        raise ValueError(
            f"{shown} must be a relative path without '..', backslashes and control characters"
        )
    # UTF-8 takes at most four bytes for a character, so a short path needs no further check.
    if len(path) > LONGEST_NAME // 4 and _is_too_long(path, parts):
        raise ValueError(
            f"'{path[:SHOWN]}...' is longer than a file system takes (255 bytes a name)"
        )
    return path


def _is_too_long(path: str, parts: set[str]) -> bool:
    longest = max(len(part.encode(errors="replace")) for part in parts)
    return len(path) > LONGEST_PATH or longest > LONGEST_NAME
