"""Locks: one process at a time does a piece of work.

Two runs over one folder of stores take turns, and so do a job that outlived its killed Snakemake
and the one that makes the same again. The second says whom it waits for, and finds the work done.

In a folder these are kernel locks, which end with the process that holds them, however it ends. In
a bucket a lock is an object that only one process can put, and that its holder renews. A process
that has seen it unchanged for longer takes it over, by a request that fails if another was faster.
No clocks are compared.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsar_core.errors import FsarError, naming
from fsar_core.storage.object_paths import NoConditions, ObjectPath
from fsar_core.storage.places import Place

try:
    import fcntl
except ImportError:  # no such locks there: as without the front
    fcntl = None


NO_LOCKS = {
    errno.ENOLCK,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
}  # of some network file systems: then nothing is held


RENEWED = 10.0  # seconds after which the holder of a lock in a bucket renews it
STALE = 60.0  # seconds after which one that was not renewed is free


@contextlib.contextmanager
def _renewed(path: ObjectPath, work: str) -> Iterator[None]:
    """Hold a lock object; nothing, where the object store knows no conditions."""
    mine, ended = _mine(work), threading.Event()
    try:
        version = [_put_first(path, mine)]
    except NoConditions:
        yield
        return

    def renew() -> None:
        count = 0
        while version[0] and not ended.wait(RENEWED):
            count += 1
            with contextlib.suppress(FsarError):  # not to be reached for a while: tried again
                version[0] = path.put_if(json.dumps(mine | {"renewed": count}).encode(), version[0])

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(FsarError):
            told = path.head()
            if told and told["e_tag"] == version[0]:
                path.unlink(missing_ok=True)


def _put_first(path: ObjectPath, mine: dict[str, Any]) -> str:
    """Put the lock object as soon as nobody else's is there; its version."""
    data, seen, since = json.dumps(mine).encode(), None, time.monotonic()
    while True:
        if version := path.put_if(data, None):
            return version
        told = path.head()
        if told is None:
            continue
        if told["e_tag"] != seen:
            first, seen, since = seen is None, told["e_tag"], time.monotonic()
            with contextlib.suppress(FileNotFoundError):
                holder = _told(path.read_text())
                if holder is None:  # it has ended on this machine
                    since -= STALE
                elif first:
                    _say_waiting(path, holder)
        if time.monotonic() - since >= STALE and (version := path.put_if(data, seen)):
            return version
        time.sleep(min(1.0, STALE / 4))


@contextlib.contextmanager
def alone(path: Place, work: str) -> Iterator[None]:
    """Hold a lock file as the only process; wait for another holder, and say for whom.

    Args:
        work: what is done under it, for those who wait.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(path, ObjectPath):
            stack.enter_context(_renewed(path, work))
        elif fcntl is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = stack.enter_context(open(path, "a+", encoding="utf-8"))
            try:
                _wait(stream, path)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            stream.truncate(0)
            _sign(stream, work)
        yield


def _wait(stream, path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        holders = [text for text in map(_told, stream.read().splitlines()) if text] or [
            "another process"
        ]
        _say_waiting(path, holders[-1])
        fcntl.flock(stream, fcntl.LOCK_EX)


def _say_waiting(path: Place, holder: str) -> None:
    print(f"fsar: {path} is held by {holder}; waiting for it", file=sys.stderr, flush=True)


def _sign(stream, work: str) -> None:
    line = json.dumps(_mine(work)) + "\n"
    with naming(
        stream.name
    ):  # at once: what a buffer kept of a failed write, closing it would try again
        os.write(stream.fileno(), line.encode())


def _mine(work: str) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%F %T"),
        "work": work,
    }


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


def try_lock(handle: int, kind: int) -> bool:
    """Take a kernel lock on an open file unless somebody holds one that excludes it.

    Args:
        kind: LOCK_SH or LOCK_EX.
    Returns:
        Whether it was taken.
    """
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def mark_busy(handle: int) -> None:
    """Lock a file while it is open, so that `is_busy` knows that it is being written."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # no locks here: the file's age has to do
            try_lock(handle, fcntl.LOCK_EX)


def is_busy(path: Path) -> bool:
    """Whether a process holds a kernel lock on a file."""
    with contextlib.suppress(OSError), held(path) as free:
        return not free
    return False


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold an existing lock file without waiting; yield whether nobody else holds it.

    It yields True if the file system has no locks.
    """
    with contextlib.ExitStack() as stack:
        free = True
        if fcntl is not None:
            stream = stack.enter_context(open(path, "rb"))
            try:
                free = try_lock(stream.fileno(), fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
        yield free


def signature(work: str) -> bytes:
    """A line that says which process works on what, for others who want the same lock."""
    return (json.dumps(_mine(work)) + "\n").encode()


def holders(signatures: str) -> list[str]:
    """The processes that signed, as text; without those of this machine that have ended."""
    return [text for text in map(_told, signatures.splitlines()) if text]


def say(line: str) -> None:
    """Tell the user why this process waits."""
    print(f"fsar: {line}", file=sys.stderr, flush=True)
