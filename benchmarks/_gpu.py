"""What a GPU can do, measured, and how near to it something comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch
from _side_by_side import short, time_text
from torch.utils.flop_counter import FlopCounterMode


@cache
def product_rate(device: torch.device) -> float:
    """Operations a second of a large float16 product."""
    left, right = torch.randn(2, 8192, 8192, device=device, dtype=torch.float16)
    return 2 * 8192**3 / _seconds(lambda: left @ right)


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
    way: Callable[[], object], took: float, device: torch.device, parts: int = 1
) -> list[str]:
    """The last two cells of a line: the least time that the GPU could need, and for how much of `took` it is busy.

    Args:
        way: done once more, to count its operations and the time of its kernels.
        took: seconds of `way`.
        parts: that `way` does, of which the line tells the time of one.
    """
    if device.type != "cuda":
        return []
    with FlopCounterMode(display=False) as counter:
        way()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        way()
        torch.cuda.synchronize()
    kernels = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    rate, flop = product_rate(device), counter.get_total_flops() / parts
    least = (
        f"{time_text(flop / rate)} ({short(flop / 1e12)} TFLOP at {short(rate / 1e12)} a second)"
    )
    return [least, f"{100 * min(kernels / took, 1):.0f} %"]
