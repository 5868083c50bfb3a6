"""What `train`, `evaluate` and `inspect` share: the arguments of a run, and its model on features."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsar_core.errors import FsarError
from fsar_core.specs import FeatureSpec, ModelSpec, RunSpec
from fsar_core.storage.bindings import changed, remake, store_content
from fsar_core.storage.places import place

if TYPE_CHECKING:
    from fsar_core.models.episode_model import EpisodeModel
    from fsar_core.runtime.devices import Machine
    from fsar_core.stores.reader import StoreReader


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of a ModelSpec (train) or RunSpec")
    parser.add_argument(
        "--features", type=place, required=True, help="the feature store; at the cut `frames` the frame store"
    )
    parser.add_argument("--weights", help="of the backbone; needed where a tail runs behind the cut")
    parser.add_argument("--weights-root", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--memory-gib", type=float, default=2.0, help="features that may be held in memory")
    parser.add_argument(
        "--evaluation-batch", type=_batch, default=None, help="test episodes of one forward pass; auto: by their size"
    )


def _batch(text: str) -> int | None:
    return None if text == "auto" else int(text)


class Prepared(NamedTuple):
    """A run on features.

    Attributes:
        bank: a function from rows to a bank of them.
        model: with its initial weights.
        machine: where it computes.
        reader: of the features store (of the frame store at the cut `frames`).
        inputs: digests of what the model computes on and with: features, index, weights.
    """

    bank: Callable
    model: EpisodeModel
    machine: Machine
    reader: StoreReader
    inputs: dict[str, str]


def prepare(args: argparse.Namespace, spec: ModelSpec, features: FeatureSpec) -> Prepared:
    """Open the features of a run and build its model.

    Raises:
        FsarError: store or weights are missing, damaged or of another spec, or do not belong together.
    """
    import torch

    from fsar_core.components.registry import build, entry
    from fsar_core.episodes.loader import FeatureBank, FrameBank
    from fsar_core.models import backbone_weights
    from fsar_core.models.episode_model import build_model
    from fsar_core.runtime.devices import Machine, torch_device
    from fsar_core.stores.reader import StoreReader

    torch.set_num_threads(args.threads)
    backbone = features.backbone
    if features.cut == "frames":
        reader = StoreReader(args.features, "frames", features.frames)
        frames, grid, dtype = reader.clip_shape[0], [3, features.crop, features.crop], torch.uint8
        bank = partial(FrameBank, crop=features.crop, augmentation=features.augmentation)
    else:
        reader = StoreReader(args.features, "features", features)
        (frames, *grid), dtype = reader.clip_shape, torch.float32
        bank = partial(FeatureBank, device=torch_device(args.device))
    names = reader.inputs.keys() & {"index", "weights"}
    inputs = {"features": store_content(reader), **{name: reader.inputs[name] for name in names}}
    tail, dim = torch.nn.Identity(), grid[0]
    if features.cut != entry("backbones", backbone.name).attributes["cuts"][-1]:
        sha256 = backbone_weights.checked_sha256(args.weights, backbone, args.weights_root)
        _check_weights(args, inputs, sha256)
        inputs |= {} if sha256 is None else {"weights": sha256}
        weights = dict(weights=args.weights, weights_root=args.weights_root)
        tail = build("backbones", backbone.name, **weights, **backbone.params).tail(features.cut).eval()
        with torch.inference_mode():
            dim = tail(torch.zeros(1, *grid, dtype=dtype)).shape[1]
    model = build_model(spec, tail, dim, frames)
    machine = Machine(torch_device(args.device), args.mixed_precision, args.evaluation_batch)

    def read(rows, **more):
        with machine.meter.wait():
            return bank(reader, rows=rows, memory_gib=args.memory_gib, threads=args.threads, **more)

    return Prepared(read, model, machine, reader, inputs)


def _check_weights(args: argparse.Namespace, inputs: dict[str, str], sha256: str | None) -> None:
    """FsarError where the tail would get other weights than what lies before the cut was made with."""
    if sha256 is not None and changed(inputs, {"weights": sha256}):
        raise FsarError(
            f"{args.weights}: not the weights that {args.features} was made with, and the tail behind "
            f"the cut needs the same; restore them, or {remake('fill_features', args.features / 'manifest.json')}"
        )


def load_trained(args: argparse.Namespace, spec: RunSpec, prepared: Prepared) -> dict[str, str]:
    """Load a run's checkpoint into its prepared model, on the machine's device.

    Returns:
        Digests of everything a result follows from, without the episodes.
    Raises:
        FsarError: the checkpoint is missing, damaged, of another run, or was trained on other
            features or with other backbone weights than it is to be tested with.
    """
    from fsar_core.storage import checkpoint

    trained = checkpoint.load(args.checkpoint, spec.model.digest)
    recorded = dict(trained.get("inputs", {}))
    if spec.tested_on != spec.features:
        # Another data set has its own store and index; the backbone is the same.
        recorded = {name: value for name, value in recorded.items() if name == "weights"}
    differs = changed(recorded, prepared.inputs)
    if differs:
        raise FsarError(
            f"{args.checkpoint}: trained with other {' and '.join(differs)} than {args.features} has; "
            f"{remake('train_head', args.checkpoint)}"
        )
    prepared.model.load_learned(trained["model"])
    prepared.model.to(prepared.machine.device)
    return {**prepared.inputs, "model": checkpoint.content(trained["model"])}
