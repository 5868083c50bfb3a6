"""What `train` and `evaluate` share: the arguments of a run, and its model on its features."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.specs import RunSpec


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of a RunSpec")
    parser.add_argument("--features", type=Path, required=True, help="the feature store")
    parser.add_argument("--weights", help="of the backbone; needed where a tail runs behind the cut")
    parser.add_argument("--weights-root", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--memory-gib", type=float, default=2.0, help="features that may be held in memory")
    parser.add_argument("--evaluation-batch", type=int, default=20, help="test episodes of one forward pass")


def prepare(args: argparse.Namespace, spec: RunSpec):
    """(reader, model, machine) of a run: its feature store, its untrained model, where it computes."""
    import torch

    from fsar_core.devices import Machine, torch_device
    from fsar_core.registry import build, entry
    from fsar_core.stores.reader import StoreReader
    from fsar_core.training.model import build_model

    torch.set_num_threads(args.threads)
    reader = StoreReader(args.features, "features", spec.features)
    frames, *grid = reader.clip_shape
    backbone = spec.features.backbone
    tail, dim = torch.nn.Identity(), grid[0]
    if spec.features.cut != entry("backbones", backbone.name).constants["CUTS"][-1]:
        whole = build(
            "backbones", backbone.name, weights=args.weights, weights_root=args.weights_root, **backbone.params
        )
        tail = whole.tail(spec.features.cut).eval()
        with torch.inference_mode():
            dim = tail(torch.zeros(1, *grid)).shape[1]
    model = build_model(spec, tail, dim, frames)
    return reader, model, Machine(torch_device(args.device), args.mixed_precision, args.evaluation_batch)
