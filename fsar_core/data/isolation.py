"""Work on clips in processes of their own: a decoder that hangs, crashes or asks for all memory costs one clip, not the job."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Started once and forked from: workers neither inherit the threads of this process nor import anew.
MEMORY_GIB = 4  # that a process may take for clips: 8 frames of 8K video and their copies

PRELOADED = ["av", "decord", "PIL.Image", "fsar_core.data.frame_store", "fsar_core.data.probing"]


@dataclass(frozen=True)
class Lost:
    """What there is of an item whose process hung or died; `reason` in a few words."""

    reason: str


def isolated_map(
    function: Callable[[Any], Any], items: Iterable[Any], workers: int, timeout: float, ahead: int = 16
) -> Iterator[Any]:
    """`function` of every item, in order; `Lost` where it takes longer than `timeout` seconds or more than MEMORY_GIB, or
    kills its process.

    A worker that is lost is replaced. At most `ahead` items for each worker are waiting, under way or done and not yet taken, so
    that memory does not grow with their number.

    Args:
        function: importable by its name, as it is called in other processes; its own exceptions are raised here.
        workers: processes.
    """
    from pebble import ProcessPool

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    pool = ProcessPool(workers, context=context, initializer=_limit_memory, initargs=[MEMORY_GIB])
    try:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.schedule(_within_memory, args=[function, item], timeout=timeout))
            if len(waiting) > ahead * workers:
                yield _result(waiting.popleft(), timeout)
        while waiting:
            yield _result(waiting.popleft(), timeout)
    finally:
        pool.stop()
        pool.join()


def _limit_memory(gib: float) -> None:
    """Let this process take so much more than it has: what is beyond fails there, before the machine runs out (Linux only)."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return
    import resource

    held = next(line for line in status.read_text().splitlines() if line.startswith("VmData:"))
    limit, hard = int(held.split()[1]) * 1024 + int(gib * 2**30), resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _within_memory(function: Callable[[Any], Any], item: Any) -> Any:
    try:
        return function(item)
    except MemoryError:
        return Lost(f"more than {MEMORY_GIB} GiB of memory needed")


def _result(future, timeout: float) -> Any:
    from pebble import ProcessExpired

    try:
        return future.result()
    except TimeoutError:
        return Lost(f"no answer within {timeout:g} s")
    except ProcessExpired as error:
        code = error.exitcode or 0
        return Lost(f"the decoder crashed ({signal.Signals(-code).name if code < 0 else f'exit status {code}'})")
