"""An access to a store that is held, and the stores that this process has open for reading."""

from __future__ import annotations

import gc
import itertools
import os
import weakref
from collections.abc import Callable

from fsar_core.errors import FsarError
from fsar_core.storage import locks
from fsar_core.storage.places import Place

# Stores that this process has open for reading, by the reader's number. No lock guards it: a reader
# may be garbage-collected in the midst of anything, and operations on a dictionary are atomic.
_open: dict[int, object] = {}
_numbers = itertools.count()


class InUse(FsarError):
    """Somebody reads the store. `holder` names one process that does."""

    def __init__(self, store: Place, holder: str) -> None:
        super().__init__(
            f"{store}: open in {holder}; wait until that has ended, then run this command again"
        )
        self.holder = holder


class SharedAccess:
    """Keeps a store open for reading until `close` is called or the object is garbage-collected.

    It is a context manager.
    """

    def __init__(
        self,
        key: object,
        release: Callable[[], None],
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            key: the store.
            release: gives the access back; is called once, at any moment and from any thread, so it
                must not block.
            wait: returns when others see that the access was given back.
        """
        number = next(_numbers)
        _open[number] = key
        self._finalizer = weakref.finalize(self, _release, os.getpid(), number, release)
        self._wait = wait

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


def refuse_own(store: Place, key: object) -> None:
    """Raise `InUse` if this process reads the store: waiting for it would never end."""
    if key in _open.copy().values():
        gc.collect()  # it may be garbage that is part of a cycle
    if key in _open.copy().values():
        raise InUse(store, f"this process ({os.getpid()})")


def say_waiting(store: Place, holder: str) -> None:
    """Say on standard error for whom this process waits."""
    locks.say(f"{store} is open in {holder}; waiting until that has ended")
