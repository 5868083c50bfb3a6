"""Read ahead: while the caller computes with one item, the next is read and copied to the GPU.

Results of a GPU are copied back while it computes the next. From page-locked memory a copy runs at
the same time as kernels, on a stream of its own; the caller's stream waits for it, not the
processor. On a CPU an item is what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import torch

Item = TypeVar("Item")
Made = TypeVar("Made")  # a Tensor, or what has its pin_memory, to and record_stream


def prefetched(
    make: Callable[[Item], Made], items: Iterable[Item], device: torch.device | None = None
) -> Iterator[Made]:
    """`make(item)` of every item, in order, on the device; never more than one ahead of the caller.

    What `make` raises is raised where its item would have come.
    """
    stream = _copying(device) if device is not None and device.type == "cuda" else None

    def ready(item: Item) -> tuple[Made, torch.cuda.Event | None]:
        if stream is None:
            return make(item), None
        with torch.cuda.stream(stream):  # what is held on the GPU is gathered there
            made = make(item)
            on_gpu = isinstance(made, torch.Tensor) and made.is_cuda
            made = made if on_gpu else made.pin_memory().to(device, non_blocking=True)
            return made, stream.record_event()

    def usable(made: Made, copied: torch.cuda.Event | None) -> Made:
        if copied is not None:
            current = torch.cuda.current_stream(device)
            current.wait_event(copied)
            made.record_stream(current)
        return made

    with ThreadPoolExecutor(1) as reader:
        waiting = None
        for item in items:
            coming = reader.submit(ready, item)
            if waiting is not None:
                yield usable(*waiting.result())
            waiting = coming
        if waiting is not None:
            yield usable(*waiting.result())


def arrived(copies: Iterable[torch.Tensor], device: torch.device) -> Iterator[np.ndarray]:
    """Yield tensors in memory as arrays, in order.

    Copies from a GPU may not be complete when they come: each is yielded when it is, while the next
    is computed.
    """
    if device.type != "cuda":
        yield from (copy.numpy() for copy in copies)
        return
    before = None
    for copy in copies:
        now = copy, torch.cuda.current_stream(device).record_event()
        if before is not None:
            before[1].synchronize()
            yield before[0].numpy()
        before = now
    if before is not None:
        before[1].synchronize()
        yield before[0].numpy()


@cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    """One for all: what the allocator has set aside for a stream serves no other."""
    return torch.cuda.Stream(device)
