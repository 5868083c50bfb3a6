"""Work on clips in processes of their own: a decoder that hangs, crashes or asks for all memory costs one clip, not the job.

A process may also die for reasons that have nothing to do with its clip: the kernel kills it where memory is short. An item
whose process was lost is therefore tried a second time, alone.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fsar_core.errors import FsarError

# Started once and forked from: workers neither inherit the threads of this process nor import anew.
MEMORY_GIB = 4  # that a process may take for clips: 8 frames of 8K video and their copies

MOST_BROKEN = 10  # times that all processes may be given up before any of them finishes an item

PRELOADED = ["av", "decord", "PIL.Image", "fsar_core.store_kinds.frames", "fsar_core.data.probing"]


@dataclass(frozen=True)
class Lost:
    """An item without a result.

    Attributes:
        reason: in a few words.
        worker_died: its process hung or died twice, the second time while nothing else ran. Another attempt may succeed.
            False for an item that needs too much memory, whenever it is tried.
    """

    reason: str
    worker_died: bool = False


def isolated_map(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    workers: int,
    timeout: float,
    ahead: int = 16,
    name: Callable[[Any], str] = str,
) -> Iterator[Any]:
    """`function` of every item, in order; `Lost` where it takes longer than `timeout` seconds or more than MEMORY_GIB, or
    kills its process.

    A worker that is lost is replaced, and its item is tried once more as soon as no other item is under way; both attempts
    are reported on standard error. At most `ahead` items for each worker are waiting, under way or done and not yet taken, so
    that memory does not grow with their number.

    Args:
        function: importable by its name, as it is called in other processes; its own exceptions are raised here.
        workers: processes.
        name: what an item is called in a message.
    """
    from pebble import ProcessPool

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    waiting: deque[tuple[Any, Future]] = deque()

    def new_pool() -> ProcessPool:
        return ProcessPool(
            workers, context=context, initializer=_limit_memory, initargs=[MEMORY_GIB]
        )

    pool = new_pool()
    times_broken = 0  # since an item was finished

    def schedule(item: Any) -> Future:
        try:
            return pool.schedule(_within_memory, args=[function, item], timeout=timeout)
        except RuntimeError:  # broken since the last item
            replace_broken_pool()
            return schedule(item)

    def replace_pool() -> None:
        """Start a pool anew, and what it has not finished with it.

        A process that is killed while it receives an item or sends a result keeps the locks of its pool for ever.
        """
        nonlocal pool
        pool.stop()
        pool.join()
        pool = new_pool()
        for position, (item, future) in enumerate(waiting):
            if _is_broken(future):
                waiting[position] = item, schedule(item)

    def replace_broken_pool() -> None:
        """pebble gives up a pool when a process dies that has no item. That costs no item."""
        nonlocal times_broken
        times_broken += 1
        if times_broken > MOST_BROKEN:
            raise FsarError(
                f"the decoding processes were killed {times_broken} times before they had decoded a clip; the machine may be "
                f"short of memory: free some, and run the same command again"
            )
        _say("a decoding process was killed between two clips; new ones are started")
        replace_pool()

    def result_of(item: Any, future: Future) -> Any:
        nonlocal times_broken
        while _is_broken(future, wait=True):
            replace_broken_pool()
            future = schedule(item)
        times_broken = 0
        result = _result(future, timeout)
        if _is_lost(result):
            replace_pool()
        return result

    def next_result() -> Any:
        item, future = waiting.popleft()
        result = result_of(item, future)
        if not _is_lost(result):
            return result
        wait(other for _, other in waiting)
        _say(f"{name(item)}: {result.reason}; trying it once more, alone")
        result = result_of(item, schedule(item))
        if _is_lost(result):
            _say(f"{name(item)}: {result.reason} again; it is left out as lost")
        return result

    try:
        for item in items:
            waiting.append((item, schedule(item)))
            if len(waiting) > ahead * workers:
                yield next_result()
        while waiting:
            yield next_result()
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
    limit, hard = (
        int(held.split()[1]) * 1024 + int(gib * 2**30),
        resource.getrlimit(resource.RLIMIT_DATA)[1],
    )
    resource.setrlimit(
        resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


def _within_memory(function: Callable[[Any], Any], item: Any) -> Any:
    try:
        return function(item)
    except MemoryError:
        return Lost(f"more than {MEMORY_GIB} GiB of memory needed")


def _is_broken(future: Future, wait: bool = False) -> bool:
    """Whether an item has no result because its pool was given up.

    Args:
        wait: for the result; else an item without one counts as broken.
    """
    if not wait and not future.done():
        return True
    try:
        error = future.exception()
    except CancelledError:
        return True
    return isinstance(error, BrokenProcessPool)


def _is_lost(result: Any) -> bool:
    return isinstance(result, Lost) and result.worker_died


def _say(line: str) -> None:
    tqdm.write(f"fsar: {line}", file=sys.stderr)


def _result(future: Future, timeout: float) -> Any:
    from pebble import ProcessExpired

    try:
        return future.result()
    except TimeoutError:
        return Lost(f"no answer within {timeout:g} s", worker_died=True)
    except ProcessExpired as error:
        code = error.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return Lost(f"the decoder crashed ({how})", worker_died=True)
