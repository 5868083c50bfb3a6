"""Access to a store in a bucket: leases, objects below `locks/` (`fsar_core.stores.leases`).

Each reader keeps an object below `locks/readers/` and renews it. To remove a seal, a process first
puts an object below `locks/unsealing/` and then lists the readers; a reader first puts its own
object and then waits until nobody unseals. Whichever comes second sees the other.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator

from fsar_core.storage.object_paths import Forbidden, ObjectPath
from fsar_core.stores.access.holders import InUse, SharedAccess, refuse_own, say_waiting
from fsar_core.stores.leases import Lease, finish_releases, living

POLL = 2.0  # seconds between two looks at the readers of a store
SHORT_POLL = 0.2  # seconds between two looks at those who unseal it, which is quick


def ever_read(store: ObjectPath) -> bool:
    """Say whether somebody reads or has read a store."""
    return (store / "locks" / "readers").is_dir()


def shared(store: ObjectPath) -> SharedAccess | None:
    """Take shared access to a store in a bucket; None if there is no protection."""
    key = str(store)
    try:
        lease = Lease(store / "locks" / "readers" / uuid.uuid4().hex, "read")
    except Forbidden:
        return None
    try:
        said = False
        while unsealing := living(store, "unsealing", lease.path):
            if not said:
                say_waiting(store, unsealing[0])
            said = True
            time.sleep(SHORT_POLL)
    except BaseException:
        lease.end()
        raise
    return SharedAccess(key, lease.release, lease.wait)


@contextlib.contextmanager
def exclusive(store: ObjectPath, work: str, wait: bool) -> Iterator[None]:
    """Hold exclusive access to a store in a bucket."""
    said = False
    while True:
        refuse_own(store, str(store))
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
            say_waiting(store, readers[0])
        said = True
        # Without a lease of its own: others may begin to read meanwhile.
        time.sleep(POLL)
