"""The one error a user can cause, and how it is worded.

A message says what is wrong, where, what was expected and what to do, in one line. `fsar_core.__main__` prints it and
exits with status 2; any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import difflib
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO


class FsarError(Exception):
    """A mistake in a configuration, a card, a store, a video or a command line. Its text is one line.

    Names come from others: what a terminal would obey or hide (escape sequences, reversed writing) is written out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(str(message).split())))


def printable(text: str, keep: str = "") -> str:
    """Write out what a terminal would obey or hide: control characters, escape sequences, reversed writing.

    Args:
        keep: control characters that stay as they are.

    Example:
        >>> printable("a\\x1b[2J.mp4")
        'a\\\\x1b[2J.mp4'
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in keep else _escape(sign) for sign in text)


class _PrintableStream:
    """Writes to another text stream what `printable` makes of a text; everything else is the other stream's."""

    def __init__(self, stream: TextIO, keep: str) -> None:
        self._stream = stream
        self._keep = keep

    def write(self, text: str) -> int:
        self._stream.write(printable(text, self._keep))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Make all that is printed in this context printable, so that names in it cannot steer a terminal.

    Line breaks and tabs stay, and on standard error the carriage returns of progress bars.
    """
    # A program without a terminal may have no streams at all.
    out = sys.stdout and _PrintableStream(sys.stdout, keep="\n\t")
    err = sys.stderr and _PrintableStream(sys.stderr, keep="\n\t\r")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


@contextlib.contextmanager
def naming(path: object) -> Iterator[None]:
    """An OSError of writing to an open file names none, as that of a full disk: it is given `path`."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)
        raise


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest valid name, or the whole list where nothing is close.

    Where two names only look alike, the first sign that is not the valid name's is told by its own name.
    """
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if close:
        strange = next((sign for sign in name if not sign.isascii() and sign not in close[0]), None)
        told = (
            f" ('{strange}' is {unicodedata.name(strange, f'U+{ord(strange):04X}')})"
            if strange
            else ""
        )
        return f"; did you mean '{close[0]}'?{told}"
    return f"; valid: {', '.join(valid)}" if valid else "; nothing is valid here"


def mend(path: Path) -> str:
    """What to do about a damaged file or store: the command, ready to be pasted."""
    return f"mend it with `fsar repair {shlex.quote(str(path))}`"


def first_line(error: BaseException, limit: int | None = None) -> str:
    """Return the first line of what an exception of another library says, or its type's name.

    Args:
        limit: characters at most.

    Example:
        >>> first_line(ValueError("no such key\\nin file x"))
        'no such key'
        >>> first_line(ValueError())
        'ValueError'
    """
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:limit]
