"""Access to a store: shared while it is read, exclusive while its seal is removed.

The two exclude each other, so a store never changes under a reader: nobody removes the manifest of a store that is open for
reading, and nobody reads a store without a manifest.

In a folder, access is a kernel lock on `locks/readers.lock`. It ends with the process that holds it, however that process ends.
In a bucket, each reader keeps an object below `locks/readers/` and renews it. To remove a seal, a process first puts an object
below `locks/unsealing/` and then lists the readers; a reader first puts its own object and then waits until nobody unseals.
Whichever comes second sees the other. Both kinds of objects are leases (`stores/leases`).

There is no protection on file systems without locks, in read-only folders where the lock file does not exist yet, and in
buckets where a reader may not write. Reading works there as well, and every clip is still compared with the manifest.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import itertools
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from fsar_core.errors import FsarError
from fsar_core.storage import locks
from fsar_core.storage.places import Forbidden, ObjectPath, Place, place
from fsar_core.stores.leases import Lease, finish_releases, living

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
    # Opened for reading only, or on a full disk: a lock without a name protects as well.
    with contextlib.suppress(OSError):
        os.write(handle, locks.signature(work))


def _holder(handle: int) -> str:
    """One of those who signed the lock file and may still hold it; not this process, which knows what it holds."""
    text = os.pread(handle, os.fstat(handle).st_size, 0).decode(errors="replace")
    others = [holder for holder in locks.holders(text) if not holder.startswith(f"process {os.getpid()} on ")]
    return (others or ["another process"])[-1]


# -- buckets: leases ----------------------------------------------------------------------------------------------------


def _shared_in_bucket(store: ObjectPath) -> SharedAccess | None:
    key = str(store)
    try:
        lease = Lease(store / "locks" / "readers" / uuid.uuid4().hex, "read")
    except Forbidden:
        return None
    try:
        said = False
        while unsealing := living(store, "unsealing", lease.path):
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
        finish_releases()
        lease = Lease(store / "locks" / "unsealing" / uuid.uuid4().hex, work)
        try:
            readers = living(store, "readers", lease.path)
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
