"""Who works in a folder of Snakemake's, and what a killed run left locked there.

Snakemake's locks are files that a kill leaves behind, and it cannot tell them from those of a run that lives. The front under the
name `snakemake` therefore holds a lock of the kernel's, which ends with its process: a front that finds nobody else removes what
is left. Runs that live side by side are left to Snakemake, which lets them where they make different files; what it says of those
that do not is followed by who the others are.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks there: as without the front
    fcntl = None


def folder_of(argv: Sequence[str]) -> Path:
    """The working directory of a command line of Snakemake."""
    folder = "."
    for position, word in enumerate(argv):
        if word in ("--directory", "-d") and position + 1 < len(argv):
            folder = argv[position + 1]
        elif word.startswith("--directory="):
            folder = word.partition("=")[2]
    return Path(folder)


@contextlib.contextmanager
def working(folder: Path, argv: Sequence[str]) -> Iterator[list[str]]:
    """Work in a folder; yields the others that do, as text.

    Locks that killed runs left there are removed, and said so on standard error. Where the file system has no locks, nothing
    is done: Snakemake's own message remains.
    """
    home = folder / ".snakemake"
    with contextlib.ExitStack() as stack:
        others: list[str] = []
        with contextlib.suppress(OSError):
            if fcntl is not None:
                home.mkdir(parents=True, exist_ok=True)
                stream = stack.enter_context(open(home / "fsar.runs", "a+", encoding="utf-8"))
                others = _enter(home, stream, argv)
        yield others


def _enter(home: Path, stream, argv: Sequence[str]) -> list[str]:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(stream, fcntl.LOCK_SH)
        stream.seek(0)
        others = [text for text in map(_told, stream.read().splitlines()) if text]
    else:
        others = []
        stream.truncate(0)
        stale = [path for path in (home / "locks").glob("*") if path.is_file()]
        for path in stale:
            path.unlink()
        if stale:
            print(
                f"fsar: a run in {home.parent.resolve()} was killed; what it had locked is free again", file=sys.stderr
            )
        fcntl.flock(stream, fcntl.LOCK_SH)
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T"), "words": list(argv)}
    stream.write(json.dumps(mine) + "\n")
    stream.flush()
    return others


def _told(line: str) -> str | None:
    """One who works in the folder, or None for one that has ended."""
    try:
        run = json.loads(line)
        pid, host, since, words = int(run["pid"]), run["host"], run["since"], " ".join(run["words"])
    except (ValueError, TypeError, KeyError):  # cut short by a kill
        return None
    if host == socket.gethostname() and not _alive(pid):
        return None
    return f"process {pid} on {host} since {since}: snakemake {words}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
