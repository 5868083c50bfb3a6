"""The limits of a GPU, measured, and how near to them something comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from _side_by_side import short, time_text
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Limits:
    """product: operations a second of a large float16 product; memory: bytes a second, read and written, of a copy on the GPU;
    link: bytes a second from page-locked memory to the GPU."""

    product: float
    memory: float
    link: float


@cache
def limits(device: torch.device) -> Limits:
    left, right = torch.randn(2, 8192, 8192, device=device, dtype=torch.float16)
    source, target = torch.empty(2, 2**31, device=device, dtype=torch.uint8)
    pinned = torch.empty(2**28, dtype=torch.uint8).pin_memory()
    return Limits(
        product=2 * 8192**3 / _seconds(lambda: left @ right),
        memory=2 * 2**31 / _seconds(lambda: target.copy_(source)),
        link=2**28 / _seconds(lambda: target[: 2**28].copy_(pinned, non_blocking=True)),
    )


def _seconds(way: Callable[[], object], times: int = 20) -> float:
    for _ in range(3):
        way()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(times):
        way()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / times


def columns(
    way: Callable[[], object], took: float, device: torch.device, moved: float = 0, sent: float = 0
) -> list[str]:
    """The last two cells of a line: the least time that the GPU could need, and for how much of `took` it is busy.

    Args:
        way: done once more, to count its operations and the time of its kernels.
        took: seconds of `way`.
        moved, sent: bytes read and written in the GPU's memory, and sent to it, at least.
    """
    if device.type != "cuda":
        return []
    with FlopCounterMode(display=False) as counter:
        way()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        way()
        torch.cuda.synchronize()
    kernels = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    rates, flop = limits(device), counter.get_total_flops()
    least, why = max(
        (flop / rates.product, f"{short(flop / 1e12)} TFLOP at {short(rates.product / 1e12)} a second"),
        (moved / rates.memory, f"{short(moved / 1e9)} GB at {short(rates.memory / 1e9)} a second"),
        (sent / rates.link, f"{short(sent / 1e9)} GB sent at {short(rates.link / 1e9)} a second"),
    )
    return [f"{time_text(least)} ({why})", f"{100 * min(kernels / took, 1):.0f} %"]
