"""Locks of the kernel's, which end with the process that holds them, however it ends.

Of a folder: Snakemake's locks are files that a kill leaves behind, and it cannot tell them from those of a run that lives. The
front under the name `snakemake` therefore holds a lock here: a front that finds nobody else removes what is left. Runs that live
side by side are left to Snakemake, which lets them where they make different files; what it says of those that do not is followed
by who the others are.

Of a piece of work: two runs over one folder of stores, or a job that outlived its killed Snakemake and the one that is to make
the same again, take turns. Who comes second says whom it waits for, and finds the work done.
"""

from __future__ import annotations

import contextlib
import errno
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


_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}  # of some network file systems: then nothing is held


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
    _sign(stream, " ".join(["snakemake", *argv]))
    return others


@contextlib.contextmanager
def alone(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file `path` as the only process; wait, and say for whom, where another holds it.

    Args:
        work: what is done under it, for those who wait.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = stack.enter_context(open(path, "a+", encoding="utf-8"))
            try:
                _wait(stream, path)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            stream.truncate(0)
            _sign(stream, work)
        yield


def _wait(stream, path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        holders = [text for text in map(_told, stream.read().splitlines()) if text] or ["another process"]
        print(f"fsar: {path} is held by {holders[-1]}; waiting for it", file=sys.stderr, flush=True)
        fcntl.flock(stream, fcntl.LOCK_EX)


def _sign(stream, work: str) -> None:
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T"), "work": work}
    stream.write(json.dumps(mine) + "\n")
    stream.flush()


def _told(line: str) -> str | None:
    """One who works in the folder, or None for one that has ended."""
    try:
        run = json.loads(line)
        pid, host, since, work = int(run["pid"]), run["host"], run["since"], run["work"]
    except (ValueError, TypeError, KeyError):  # cut short by a kill
        return None
    if host == socket.gethostname() and not _alive(pid):
        return None
    return f"process {pid} on {host} since {since}: {work}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
