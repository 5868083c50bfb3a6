"""Access to a store: shared while it is read, exclusive while its seal is removed.

The two exclude each other, so a store never changes under a reader: nobody removes the manifest of
a store that is open for reading, and nobody reads a store without a manifest.

    folder      access is a kernel lock on `locks/readers.lock`
    bucket      access is a lease, an object below `locks/`
    holders     what both have in common: an access, and the stores that this process reads

There is no protection on file systems without locks, in read-only folders where the lock file does
not exist yet, and in buckets where a reader may not write. Reading works there as well, and every
clip is still compared with the manifest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place
from fsar_core.stores.access import bucket, folder
from fsar_core.stores.access.folder import READERS
from fsar_core.stores.access.holders import InUse, SharedAccess

__all__ = ["READERS", "InUse", "SharedAccess", "exclusive", "reader_of", "shared", "unseal"]


def shared(store: Place) -> SharedAccess:
    """Take shared access to a store; read the manifest afterwards.

    Nothing is held if the storage offers no protection.
    """
    taken = bucket.shared(store) if isinstance(store, ObjectPath) else folder.shared(store)
    return taken or SharedAccess(None, lambda: None)


@contextlib.contextmanager
def exclusive(store: Place, work: str, wait: bool) -> Iterator[None]:
    """Hold exclusive access to a store: meanwhile nobody has the store open for reading.

    Args:
        work: what is done meanwhile, for those who have to wait.
        wait: wait for readers, and say on standard error for whom, instead of raising `InUse`.

    Raises:
        InUse: the store is open for reading, and `wait` is False or this very process reads it.
    """
    hold = bucket.exclusive if isinstance(store, ObjectPath) else folder.exclusive
    with hold(store, work, wait):
        yield


def unseal(store: Place, work: str, *stale: Place) -> None:
    """Wait until nobody reads a store, then remove its manifest.

    Args:
        stale: files that go with the manifest and are removed before it.
    """
    with exclusive(store, work, wait=True):
        for path in (*stale, store / "manifest.json"):
            path.unlink(missing_ok=True)


def reader_of(store: Place) -> str:
    """Return a process that has a store open for reading, as text.

    The text is empty if there is none, or if the store has never been read.
    """
    is_bucket = isinstance(store, ObjectPath)
    ever_read = bucket.ever_read(store) if is_bucket else folder.ever_read(store)
    if ever_read:
        try:
            with exclusive(store, "look for readers", wait=False):
                pass
        except InUse as error:
            return error.holder
    return ""
