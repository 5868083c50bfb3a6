"""Access to a store: shared while it is read, exclusive while its seal is removed.

The two exclude each other, so a store never changes under a reader: nobody removes the manifest of a store that is open for
reading, and nobody reads a store without a manifest.

In a folder, access is a kernel lock on `locks/readers.lock`. It ends with the process that holds it, however that process ends.
In a bucket, each reader keeps an object below `locks/readers/` and renews it. To remove a seal, a process first puts an object
below `locks/unsealing/` and then lists the readers; a reader first puts its own object and then waits until nobody unseals.
Whichever comes second sees the other. Both kinds of objects are called leases here. Their age is measured by the clock of the
object store alone.

There is no protection on file systems without locks, in read-only folders where the lock file does not exist yet, and in
buckets where a reader may not write. Reading works there as well, and every clip is still compared with the manifest.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import itertools
import json
import os
import queue
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from fsar_core import locks
from fsar_core.errors import FsarError
from fsar_core.places import Forbidden, ObjectPath, Place, place

try:
    import fcntl
except ImportError:  # no kernel locks on this platform
    fcntl = None

READERS = "readers.lock"
NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
MANY = 2**16  # bytes of a lock file: the names of several hundred readers
POLL = 2.0  # seconds between two looks at the readers of a store in a bucket

# Stores that this process has open for reading, by the reader's number. No lock guards it: a reader may be garbage-collected in
# the midst of anything, and operations on a dictionary are atomic.
_open: dict[int, object] = {}
_numbers = itertools.count()


class InUse(FsarError):
    """Somebody reads the store. `holder` names one process that does."""

    def __init__(self, store: Place, holder: str) -> None:
        super().__init__(f"{store}: open in {holder}; wait until that has ended, then run this command again")
        self.holder = holder


class SharedAccess:
    """Keeps a store open for reading until `close` is called or the object is garbage-collected; a context manager."""

    def __init__(self, key: object, release: Callable[[], None], wait: Callable[[], None] = lambda: None) -> None:
        """
        Args:
            release: gives the access back; is called once, at any moment and from any thread, so it must not block.
            wait: returns when others see that the access was given back.
        """
        number = next(_numbers)
        _open[number] = key
        self._finalizer, self._wait = weakref.finalize(self, _release, os.getpid(), number, release), wait

    def close(self) -> None:
        """Give the access back. Closing twice does nothing."""
        if self._finalizer.alive:
            self._finalizer()
            self._wait()

    def __enter__(self) -> SharedAccess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _release(pid: int, number: int, release: Callable[[], None]) -> None:
    if os.getpid() == pid:  # not a forked child: the access belongs to its parent
        del _open[number]
        release()


def shared(store: Place) -> SharedAccess:
    """Take shared access to a store; read the manifest afterwards. Nothing is held where the storage offers no protection."""
    store = place(store)
    taken = _shared_in_bucket(store) if isinstance(store, ObjectPath) else _shared_in_folder(store)
    return taken or SharedAccess(None, lambda: None)


@contextlib.contextmanager
def exclusive(store: Place, work: str, wait: bool) -> Iterator[None]:
    """Hold exclusive access to a store: while it is held, nobody has the store open for reading.

    Args:
        work: what is done meanwhile, for those who have to wait.
        wait: wait for readers, and say on standard error for whom, instead of raising `InUse`.

    Raises:
        InUse: the store is open for reading, and `wait` is False or this very process reads it.
    """
    store = place(store)
    hold = _exclusive_in_bucket if isinstance(store, ObjectPath) else _exclusive_in_folder
    with hold(store, work, wait):
        yield


def unseal(store: Place, work: str, *stale: Place) -> None:
    """Wait until nobody reads a store, then remove its manifest, and before it the files that go with it (`stale`)."""
    with exclusive(store, work, wait=True):
        for path in (*stale, place(store) / "manifest.json"):
            place(path).unlink(missing_ok=True)


def reader_of(store: Place) -> str:
    """A process that has a store open for reading, as text; empty if there is none or the store has never been read."""
    store = place(store)
    if isinstance(store, ObjectPath):
        ever_read = (store / "locks" / "readers").is_dir()
    else:
        ever_read = (store / "locks" / READERS).is_file()
    if ever_read:
        try:
            with exclusive(store, "look for readers", wait=False):
                pass
        except InUse as error:
            return error.holder
    return ""


def _refuse_own(store: Place, key: object) -> None:
    """Waiting for a reader of this very process would never end."""
    if key in _open.copy().values():
        gc.collect()  # it may be garbage that is part of a cycle
    if key in _open.copy().values():
        raise InUse(store, f"this process ({os.getpid()})")


def _say_waiting(store: Place, holder: str) -> None:
    locks.say(f"{store} is open in {holder}; waiting until that has ended")


# -- folders: a kernel lock ---------------------------------------------------------------------------------------------


def _shared_in_folder(store: Path) -> SharedAccess | None:
    path = store / "locks" / READERS
    while (handle := _opened(path)) is not None:
        try:
            if os.fstat(handle).st_size > MANY and locks.try_lock(handle, fcntl.LOCK_EX):
                _forget(handle)  # nobody else is here: all of them have ended
            if not locks.try_lock(handle, fcntl.LOCK_SH):
                _say_waiting(store, _holder(handle))
                fcntl.flock(handle, fcntl.LOCK_SH)
            if _is_at(handle, path):
                _sign(handle, "read")
                key = _identity(handle)
                return SharedAccess(key, lambda: _unlock(handle))
        except OSError as error:
            os.close(handle)
            if error.errno not in locks.NO_LOCKS:
                raise
            return None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the store was moved away while this process waited; perhaps there is a new one
    return None


@contextlib.contextmanager
def _exclusive_in_folder(store: Path, work: str, wait: bool) -> Iterator[None]:
    handle = _locked_exclusively(store, work, wait)
    try:
        yield
    finally:
        if handle is not None:
            _unlock(handle)


def _locked_exclusively(store: Path, work: str, wait: bool) -> int | None:
    path = store / "locks" / READERS
    while (handle := _opened(path)) is not None:
        try:
            _refuse_own(store, _identity(handle))
            if not locks.try_lock(handle, fcntl.LOCK_EX):
                holder = _holder(handle)
                if not wait:
                    raise InUse(store, holder)
                _say_waiting(store, holder)
                fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(handle, path):
                _forget(handle)
                _sign(handle, work)
                return handle
        except OSError as error:
            os.close(handle)
            if error.errno not in locks.NO_LOCKS:
                raise
            return None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    return None


def _opened(path: Path) -> int | None:
    """The lock file, made if it can be; None where there is no store, or where it is missing and nothing can be written."""
    if fcntl is None:
        return None
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        path.parent.mkdir(exist_ok=True)
        return os.open(path, flags | os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
    try:
        return os.open(path, flags | os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        return None


def _identity(handle: int) -> tuple[int, int]:
    status = os.fstat(handle)
    return status.st_dev, status.st_ino


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return _identity(handle) == (status.st_dev, status.st_ino)


def _unlock(handle: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)  # closing alone would leave it to a forked child that inherited the file
    with contextlib.suppress(OSError):
        os.close(handle)


def _forget(handle: int) -> None:
    """Remove the signatures of former holders."""
    with contextlib.suppress(OSError):  # opened for reading only
        os.ftruncate(handle, 0)


def _sign(handle: int, work: str) -> None:
    with contextlib.suppress(
        OSError
    ):  # opened for reading only, or a full disk: a lock without a name protects as well
        os.write(handle, locks.signature(work))


def _holder(handle: int) -> str:
    """One of those who signed the lock file and may still hold it; not this process, which knows what it holds."""
    text = os.pread(handle, os.fstat(handle).st_size, 0).decode(errors="replace")
    others = [holder for holder in locks.holders(text) if not holder.startswith(f"process {os.getpid()} on ")]
    return (others or ["another process"])[-1]


# -- buckets: leases ----------------------------------------------------------------------------------------------------


class _Lease:
    """An object that is renewed as long as its process runs and wants it."""

    def __init__(self, path: ObjectPath, work: str) -> None:
        self.path, self.released = path, False
        signature = json.loads(locks.signature(work)) | {"processes": _process_table()}
        data = json.dumps(signature).encode()
        path.write_bytes(data)
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()  # the one signal that a finalizer may give
        self._thread = threading.Thread(target=_renew, args=(path, data, self._ended), daemon=True)
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
        self.release()
        self.wait()


_leases: weakref.WeakSet[_Lease] = weakref.WeakSet()


@atexit.register
def _end_leases() -> None:
    """Delete the leases that are left when this process ends normally."""
    for lease in list(_leases):
        lease.end()


def _renew(path: ObjectPath, data: bytes, ended: queue.SimpleQueue[None]) -> None:
    while True:
        try:
            ended.get(timeout=locks.RENEWED)
            break
        except queue.Empty:
            pass
        with contextlib.suppress(FsarError):  # out of reach for a while: tried again
            path.write_bytes(data)
    with contextlib.suppress(FsarError):  # what cannot be deleted is no longer renewed
        path.unlink(missing_ok=True)


def _shared_in_bucket(store: ObjectPath) -> SharedAccess | None:
    key = str(store)
    try:
        lease = _Lease(store / "locks" / "readers" / uuid.uuid4().hex, "read")
    except Forbidden:
        return None
    try:
        said = False
        while unsealing := _living(store, "unsealing", lease.path):
            if not said:
                _say_waiting(store, unsealing[0])
            said = True
            time.sleep(min(POLL, 0.2))
    except BaseException:
        lease.end()
        raise
    return SharedAccess(key, lease.release, lease.wait)


@contextlib.contextmanager
def _exclusive_in_bucket(store: ObjectPath, work: str, wait: bool) -> Iterator[None]:
    said = False
    while True:
        _refuse_own(store, str(store))
        for own in list(_leases):
            if own.released:
                own.wait()
        lease = _Lease(store / "locks" / "unsealing" / uuid.uuid4().hex, work)
        try:
            readers = _living(store, "readers", lease.path)
            if not readers:
                yield
                return
        finally:
            lease.end()
        if not wait:
            raise InUse(store, readers[0])
        if not said:
            _say_waiting(store, readers[0])
        said = True
        time.sleep(POLL)  # without a lease of its own: others may begin to read meanwhile


def _living(store: ObjectPath, kind: str, mine: ObjectPath) -> list[str]:
    """Processes with a living lease of a kind, as text. Leases that have not been renewed are deleted."""
    held = {one.path: one.changed for one in (store / "locks").objects()}
    now = held.get(mine, max(held.values(), default=0.0))
    living = []
    for path, changed in held.items():
        if path.parent.name != kind or path == mine:
            continue
        holder = _lease_holder(path) if now - changed < locks.STALE else None
        if holder:
            living.append(holder)
        else:
            path.unlink(missing_ok=True)
    return living


def _lease_holder(path: ObjectPath) -> str | None:
    """The process behind a lease, as text; None if it has ended for certain."""
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
    """What process numbers refer to: containers can share a host name and still number their processes apart."""
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""
