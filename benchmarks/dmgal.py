"""What DMGAL's arrangement saves, as ratios measured in one run.

    python benchmarks/dmgal.py [--repeats 3] [--device cpu|cuda] [--mixed-precision]

1. C-MGA, 5-way 5-shot with 25 queries, 8 frames of 2048 x 7 x 7: the support is attended to where it lies, against the
   straightforward version that gives every query a copy of the support of its own.
2. A training step of the head (5-way 1-shot, 5 queries) on features from the cache, against the same step that first runs
   ResNet-50 on the frames of the same 10 clips (224 pixels).

Times are medians, both ways in turn in every repeat. Memory is the most that torch holds at once beyond what it held before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from fsar_core.evaluation.complexity import peak_bytes
from fsar_core.heads.dmgal import CrossMotionGuidedAttention
from fsar_core.registry import build
from fsar_core.training.model import EpisodeModel


def compare(name: str, ours: Callable, plain: Callable, repeats: int, device: torch.device) -> None:
    """Prints time and memory of two ways and their ratios."""
    times: dict[Callable, list[float]] = {ours: [], plain: []}
    for way in times:
        way()  # warm
    for _ in range(repeats):
        for way, found in times.items():
            started = time.perf_counter()
            way()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            found.append(time.perf_counter() - started)
    fast, slow = (statistics.median(found) for found in times.values())
    small, large = (peak_bytes(way, device) / 2**20 for way in (ours, plain))
    print(
        f"{name}: {fast:.2f} s against {slow:.2f} s ({slow / fast:.2f} times as fast), "
        f"{small:.0f} MiB against {large:.0f} MiB ({small / large:.2f} of it)"
    )


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
        return module(support.repeat(25, 1, 1, 1, 1, 1, 1), query.transpose(0, 1).contiguous())[1].transpose(0, 1)

    torch.testing.assert_close(ours(), copied(), atol=1e-4, rtol=1e-4)
    return ours, copied


def training_step(device: torch.device, mixed: bool) -> tuple[Callable, Callable]:
    torch.manual_seed(0)
    backbone = build("backbones", "resnet50").eval().to(device)
    head, metric = build("heads", "dmgal", dim=2048), build("matching", "bimhm")
    model = EpisodeModel(torch.nn.Identity(), head, metric).to(device)
    optimizer = torch.optim.Adam(model.trainable, lr=1e-4)
    clips = torch.randint(0, 256, (10 * 8, 3, 224, 224), dtype=torch.uint8, device=device)
    labels = torch.arange(5, device=device)
    precision = torch.autocast(device.type, torch.bfloat16, enabled=mixed)

    def features():
        with torch.no_grad(), precision:
            return backbone.to_cut(clips, "layer4").float().unflatten(0, (10, 8))

    def step(cached: torch.Tensor) -> None:
        with precision:
            out = head(cached[None, :5, None], cached[None, 5:])
            pooled = (side.mean((-2, -1)) for side in (out.support, out.query))
            logits = metric(*pooled)
        loss = torch.nn.functional.cross_entropy(logits.float()[0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    kept = features()
    return lambda: step(kept), lambda: step(features())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--mixed-precision", action="store_true")
    args = parser.parse_args()
    device = torch.device(args.device)
    compare("C-MGA against a support copied for each query", *cross_attention(device), args.repeats, device)
    steps = training_step(device, args.mixed_precision)
    compare("head step from the cache against one from frames", *steps, args.repeats, device)


if __name__ == "__main__":
    main()
