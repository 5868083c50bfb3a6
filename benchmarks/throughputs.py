"""Clips that one core gets through in a second, at the sizes of the preset `paper`: what `workflow/throughputs.yaml` holds.

    python benchmarks/throughputs.py [--passes 1] [NAME ...]

Measures the features of ResNet-50 at layer4 and of CLIP's tokens, and one training and one test pass of an episode (5-way,
1-shot, 5 queries a class) of every head with its usual metric, on random numbers. By processor time, which other programs of
the machine do not lengthen (much). Prints YAML to be pasted, or to be given to `fsar cost --throughputs`.
"""

from __future__ import annotations

import argparse
import time

import torch

from fsar_core.components.registry import build
from fsar_core.evaluation import complexity

FEATURES = {
    "fill_features.resnet50": ("resnet50", "layer4"),
    "fill_features.clip_vit_b16": ("clip_vit_b16", "tokens"),
}
HEADS = {
    "identity": ("otam", {}),
    "dmgal": ("otam", {}),
    "i2st": ("global_local", {}),
    "ipm": ("bimhm", {}),
    "sgtm": ("otam", {"width": 256, "mask": "random"}),  # which frames are masked takes no time
}
EPISODE = dict(dim=2048, height=7, width=7, frames=8, way=5, shot=1, query=25, classes=64)


def rate(run, clips: int, passes: int) -> float:
    """Clips a second of processor time; the first pass only warms up."""
    run()
    started = time.process_time()
    for _ in range(passes):
        run()
    return clips * passes / (time.process_time() - started)


def measured(name: str, passes: int) -> dict[str, float]:
    """What of a name is measured."""
    if name in FEATURES:
        backbone, cut = FEATURES[name]
        model, frames = (
            build("backbones", backbone).eval(),
            torch.zeros(16, 3, 224, 224, dtype=torch.uint8),
        )
        with torch.inference_mode():
            return {name: rate(lambda: model.to_cut(frames, cut), 2, passes)}
    metric, params = HEADS[name]
    rows = dict(name=name, params=params), dict(name=metric, params={})
    model, episode = complexity._model(EPISODE, *rows), complexity._episode(EPISODE)
    kinds = {"train_head": complexity._training_pass, "evaluate_head": complexity._test_pass}
    return {
        f"{kind}.{name}": rate(make(model, episode), 30, passes) for kind, make in kinds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*FEATURES, *HEADS]))
    parser.add_argument("--passes", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("clips:")
    for name in args.names or [*FEATURES, *HEADS]:
        for key, value in measured(name, args.passes).items():
            print(f"  {key}: {value:.3g}", flush=True)


if __name__ == "__main__":
    main()
