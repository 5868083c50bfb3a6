"""Access to a store in a folder: a kernel lock on `locks/readers.lock`.

It ends with the process that holds it, however that process ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from fsar_core.storage import locks
from fsar_core.stores.access.holders import InUse, SharedAccess, refuse_own, say_waiting

try:
    import fcntl
except ImportError:  # no kernel locks on this platform
    fcntl = None

READERS = "readers.lock"
NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
MANY = 2**16  # bytes of a lock file: the names of several hundred readers


def ever_read(store: Path) -> bool:
    """Say whether somebody has read a store."""
    return (store / "locks" / READERS).is_file()


def shared(store: Path) -> SharedAccess | None:
    """Take shared access to a store in a folder; None if there is no protection."""
    path = store / "locks" / READERS
    while (handle := _opened(path)) is not None:
        try:
            if os.fstat(handle).st_size > MANY and locks.try_lock(handle, fcntl.LOCK_EX):
                _forget(handle)  # nobody else is here: all of them have ended
            if not locks.try_lock(handle, fcntl.LOCK_SH):
                say_waiting(store, _holder(handle))
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
        # The store was moved away while this process waited; perhaps there is a new one.
        os.close(handle)
    return None


@contextlib.contextmanager
def exclusive(store: Path, work: str, wait: bool) -> Iterator[None]:
    """Hold exclusive access to a store in a folder."""
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
            refuse_own(store, _identity(handle))
            if not locks.try_lock(handle, fcntl.LOCK_EX):
                holder = _holder(handle)
                if not wait:
                    raise InUse(store, holder)
                say_waiting(store, holder)
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
    """Return the lock file, which is made if it can be.

    Returns:
        None if there is no store, or if the file is missing and nothing can be written.
    """
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
    """Say whether an open file is still the one at `path`."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return _identity(handle) == (status.st_dev, status.st_ino)


def _unlock(handle: int) -> None:
    # Closing alone would leave it to a forked child that inherited the file.
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)
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
    """Return one of those who signed the lock file and may still hold it.

    It is not this process, which knows what it holds.
    """
    text = os.pread(handle, os.fstat(handle).st_size, 0).decode(errors="replace")
    own = f"process {os.getpid()} on "
    others = [holder for holder in locks.holders(text) if not holder.startswith(own)]
    return (others or ["another process"])[-1]
