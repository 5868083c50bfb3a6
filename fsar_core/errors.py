"""The one error a user can cause, and how it is worded.

A message says what is wrong, where, what was expected and what to do, in one line. `fsar_core.__main__` prints it and
exits with status 2; any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FsarError(Exception):
    """A mistake in a configuration, a card, a store, a video or a command line. Its text is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest valid name, or the whole list where nothing is close."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; valid: {', '.join(valid)}" if valid else "; nothing is valid here"


def one_of(owner: str, name: str, value: object, valid: tuple) -> None:
    """FsarError unless the option `name` of the component `owner` is one of `valid`, which the message lists."""
    if value not in valid:
        raise FsarError(f"{owner}: {name}={value!r} is not valid; valid: {', '.join(map(repr, valid))}")
