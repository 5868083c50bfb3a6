"""What C-MGA's arrangement saves: 5-way 5-shot with 25 queries, 8 frames of 2048 x 7 x 7.

    python benchmarks/dmgal.py [--repeats 3] [--device cpu|cuda]

The support is attended to where it lies, against the straightforward version that gives every query a copy of the support of its
own. Memory is the most that torch holds at once beyond what it held before.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from _gpu import columns
from _side_by_side import Line, in_turn, ratios, time_text

from fsar_core.evaluation.complexity import peak_bytes
from fsar_core.heads.dmgal import CrossMotionGuidedAttention


def cross_attention(device: torch.device) -> tuple[Callable, Callable]:
    torch.manual_seed(0)
    module = CrossMotionGuidedAttention(2048, 8).eval().to(device)
    torch.nn.init.ones_(module.lambda_1)
    support = torch.randn(1, 5, 5, 8, 2048, 7, 7, device=device)
    query = torch.randn(1, 25, 8, 2048, 7, 7, device=device)

    @torch.inference_mode()
    def ours():
        return module(support, query)[1]

    @torch.inference_mode()
    def copied():
        return module(support.repeat(25, 1, 1, 1, 1, 1, 1), query.transpose(0, 1).contiguous())[
            1
        ].transpose(0, 1)

    close = 1e-3 if device.type == "cuda" else 1e-4
    torch.testing.assert_close(ours(), copied(), atol=close, rtol=close)
    return ours, copied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    ours, copied = cross_attention(device)
    small, large = (peak_bytes(way, device) / 2**20 for way in (ours, copied))
    what, against = "C-MGA, 5-shot, 25 queries: {}", "a support copied for each query"
    Line(
        what.format("memory"),
        f"{small:.0f} MiB",
        against,
        f"{large:.0f} MiB",
        [small / large],
        "at most 0.333",
        ["", ""] if device.type == "cuda" else [],
    ).show()
    fast, slow = in_turn(ours, copied, repeats=args.repeats)
    figures = [time_text(statistics.median(times)) for times in (fast, slow)]
    gpu = columns(ours, statistics.median(fast), device)
    Line(what.format("time"), figures[0], against, figures[1], ratios(slow, fast), gpu=gpu).show()


if __name__ == "__main__":
    main()
