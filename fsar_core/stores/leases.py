"""Leases: objects in a bucket that say that their process still runs and works on a store.

A lease is renewed by a thread of its own and deleted at the end. One that has not been renewed for
`locks.STALE` seconds belongs to a process that was killed. Its age is measured by the clock of the
object store alone: it is compared with a lease that the asking process has just put.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import threading
import weakref
from pathlib import Path

from fsar_core.errors import FsarError
from fsar_core.storage import locks
from fsar_core.storage.object_paths import ObjectPath


class Lease:
    """An object that is renewed as long as its process runs and wants it."""

    def __init__(self, path: ObjectPath, work: str) -> None:
        self.path, self.released = path, False
        signature = json.loads(locks.signature(work)) | {"processes": _process_table()}
        data = json.dumps(signature).encode()
        path.write_bytes(data)
        self._ended: queue.SimpleQueue[None] = (
            queue.SimpleQueue()
        )  # the one signal that a finalizer may give
        self._thread = threading.Thread(
            target=self._renew, args=(data,), daemon=True
        )  # keeps this object
        self._thread.start()
        _leases.add(self)

    def release(self) -> None:
        """Let the lease's own thread delete it. Does not block."""
        self.released = True
        self._ended.put(None)

    def wait(self) -> None:
        """Wait until it has been deleted."""
        self._thread.join()

    def end(self) -> None:
        """Delete the lease."""
        self.release()
        self.wait()

    def _renew(self, data: bytes) -> None:
        while True:
            try:
                self._ended.get(timeout=locks.RENEWED)
                break
            except queue.Empty:
                pass
            with contextlib.suppress(FsarError):  # out of reach for a while: tried again
                self.path.write_bytes(data)
        with contextlib.suppress(FsarError):  # what cannot be deleted is no longer renewed
            self.path.unlink(missing_ok=True)


_leases: weakref.WeakSet[Lease] = weakref.WeakSet()


def finish_releases() -> None:
    """Wait until the leases that this process has released are deleted."""
    for lease in list(_leases):
        if lease.released:
            lease.wait()


@atexit.register
def _end_leases() -> None:
    """Delete the leases that are left when this process ends normally."""
    for lease in list(_leases):
        lease.end()


def living(store: ObjectPath, kind: str, mine: ObjectPath) -> list[str]:
    """Return the processes with a living lease on a store, as text.

    Leases that have not been renewed are deleted.

    Args:
        kind: the folder of the leases below `locks/`.
        mine: a lease of this process that has just been put; it tells the time.
    """
    held = {one.path: one.changed for one in (store / "locks").objects()}
    now = held.get(mine, max(held.values(), default=0.0))
    found = []
    for path, changed in held.items():
        if path.parent.name != kind or path == mine:
            continue
        holder = _lease_holder(path) if now - changed < locks.STALE else None
        if holder:
            found.append(holder)
        else:
            path.unlink(missing_ok=True)
    return found


def _lease_holder(path: ObjectPath) -> str | None:
    """Return the process that holds a lease, as text; None if it has certainly ended."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        lease = json.loads(text)
        if lease["processes"] == _process_table():
            return next(iter(locks.holders(text)), None)
        return f"process {lease['pid']} on {lease['host']} since {lease['since']}: {lease['work']}"
    except (ValueError, TypeError, KeyError):
        return "another process"


def _process_table() -> str:
    """Return what process numbers refer to.

    Machines and containers can share a host name and still number their processes separately.
    """
    with contextlib.suppress(OSError):
        return (
            Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            + " "
            + os.readlink("/proc/self/ns/pid")
        )
    return ""
