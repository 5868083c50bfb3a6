"""Seconds per frame of SEEM against the floor of its matrix products, measured in one run.

    python benchmarks/seem.py [--network focal_t|focal_l] [--size 512] [--batch 8] [--repeats 3]
                              [--precision float32|bfloat16|float16] [--device cpu|cuda] [--threads N]
                              [--clock wall|cpu]

The floor is what the multiplications and additions of the network's products and convolutions, as torch's FlopCounterMode counts
them, would take at the rate of one large matrix product in the same precision. That product is timed before and after every
pass, so that a slow minute of the machine falls on both. Figures are medians. The weights are random. `--clock cpu`
counts the processor's time in place of the wall's, for a machine that others use; take one thread then.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from fsar_core.evaluation.complexity import peak_bytes
from fsar_core.mask_providers.seem.config import FOCAL_L, FOCAL_T
from fsar_core.mask_providers.seem.network import SEEM

NETWORKS = {"focal_t": FOCAL_T, "focal_l": FOCAL_L}
SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices that the rate is measured with


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def seconds(run: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="focal_t", choices=NETWORKS)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--precision", default="float32", choices=("float32", "bfloat16", "float16")
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", default="wall", choices=CLOCKS)
    args = parser.parse_args()
    clock = CLOCKS[args.clock]
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device, dtype = torch.device(args.device), getattr(torch, args.precision)

    network = SEEM(NETWORKS[args.network]).eval().requires_grad_(False).to(device)
    precision = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
    frames = torch.randint(
        256, (args.batch, 3, args.size, args.size), dtype=torch.uint8, device=device
    )
    with precision:
        text = network.encode_text(["playing ice hockey"])
    text = text.take(torch.zeros(args.batch, dtype=torch.long, device=device))
    left, right = torch.randn(2, SIDE[device.type], SIDE[device.type], device=device).to(dtype)

    def masks() -> None:
        with precision:
            network(frames, text, size=args.size)

    def rate() -> float:
        """Operations a second of the large product."""
        taken = statistics.median(seconds(lambda: left @ right, device, clock) for _ in range(5))
        return 2 * SIDE[device.type] ** 3 / taken

    with FlopCounterMode(display=False) as counter:
        masks()
    flop = counter.get_total_flops() / args.batch
    mebibytes = peak_bytes(masks, device) / 2**20
    rate()  # warm
    found, rates = [], [rate()]
    for _ in range(args.repeats):
        found.append(seconds(masks, device, clock) / args.batch)
        rates.append(rate())
    taken, speed = statistics.median(found), statistics.median(rates)
    print(
        f"{args.network}, {args.size} pixels, batch {args.batch}, {args.precision}, threads {args.threads}: "
        f"{taken:.3g} s ({args.clock}) a frame ({', '.join(f'{t:.3g}' for t in found)}), {flop / 1e9:.0f} GFLOP; "
        f"floor {flop / speed:.3g} s at {speed / 1e9:.0f} GFLOP/s ({', '.join(f'{r / 1e9:.0f}' for r in rates)}); "
        f"{taken / (flop / speed):.2f} times the floor; {mebibytes:.0f} MiB beside the weights"
    )


if __name__ == "__main__":
    main()
