"""Two ways of doing one thing, in turn in one run, as a line of a table."""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

HEADER = "| what | here | compared with | | ratio (least to most) | goal | reached |\n|---|---|---|---|---|---|---|"
GPU_HEADER = "\n".join(
    a + b for a, b in zip(HEADER.split("\n"), (" the GPU's limit | GPU busy |", "---|---|"))
)


@dataclass
class Line:
    """A line of the table.

    Attributes:
        here, other: figures with their units.
        ratios: of every repeat.
        goal: "at least 40" or "at most 1.15"; empty where there is none.
        gpu: further cells of a table of a GPU (`_gpu.columns`).
    """

    what: str
    here: str
    against: str
    other: str
    ratios: list[float]
    goal: str = ""
    gpu: list[str] = field(default_factory=list)

    def show(self) -> None:
        middle = statistics.median(self.ratios)
        words, _, number = self.goal.rpartition(" ")
        met = {
            "at least": middle >= float(number or 0),
            "at most": middle <= float(number or 0),
        }.get(words)
        reached = "" if met is None else "yes" if met else "**no**"
        spread = f"{short(middle)} ({short(min(self.ratios))} to {short(max(self.ratios))})"
        print(
            f"| {self.what} | {self.here} | {self.against} | {self.other} | {spread} | {self.goal} | {reached} |"
            + "".join(f" {cell} |" for cell in self.gpu),
            flush=True,
        )


def seconds(way: Callable[[], object]) -> float:
    gc.collect()
    _finish()
    started = time.perf_counter()
    way()
    _finish()
    return time.perf_counter() - started


def _finish() -> None:
    """Until a GPU has done what it was told, where one is in use."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def in_turn(*ways: Callable[[], object], repeats: int, warm: bool = True) -> list[list[float]]:
    """Seconds of every way in every repeat; with `warm` each is done once before."""
    for way in ways if warm else ():
        way()
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats):
        for way, found in zip(ways, times):
            found.append(seconds(way))
    return times


def ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below)]


def chosen(parser: argparse.ArgumentParser, names: list[str], valid: Iterable[str]) -> list[str]:
    """What is named of `valid`; all, where nothing is."""
    valid = list(valid)
    for name in names:
        if name not in valid:
            parser.error(f"no '{name}'; valid: {', '.join(valid)}")
    return names or valid


def short(value: float) -> str:
    """Three digits, no exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def time_text(value: float) -> str:
    """Seconds in a fitting unit."""
    return (
        f"{short(value)} s"
        if value >= 1
        else f"{short(value * 1e3)} ms"
        if value >= 1e-3
        else f"{short(value * 1e6)} µs"
    )
