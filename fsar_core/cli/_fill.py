"""What the jobs of `fsar fill` write, for the kinds of store that are made of another one."""

from __future__ import annotations

from pathlib import Path


def masks(args, spec, index, rows):
    import torch

    from fsar_core.devices import torch_device
    from fsar_core.instance_masks import _prompts, _store, _weights
    from fsar_core.registry import accepted, build
    from fsar_core.stores.reader import StoreReader

    torch.set_num_threads(args.threads)
    name, weights = spec.provider.name, Path(args.weights) if args.weights else None
    _weights.check(weights, spec.weights)
    classes = index["class"][index.split == "train"]
    _prompts.check(classes, spec.prompts)
    offered = dict(
        folder=args.folder,
        source=spec.source,
        frames=spec.frames,
        weights=weights,
        prompts=sorted(set(map(_prompts.words, classes))),
        device=torch_device(args.device),
        batch_frames=args.batch_frames,
    )
    provider = build("instance_masks", name, **accepted("instance_masks", name, **offered), **spec.provider.params)
    return _store.blocks(spec, provider, index, StoreReader(args.frames, "frames", spec.frames), rows)


def saliency(args, spec, plan, index, rows):
    import torch

    from fsar_core.saliency import _store
    from fsar_core.stores.reader import StoreReader
    from fsar_core.training import checkpoint

    torch.set_num_threads(args.threads)
    state = checkpoint.load(args.weights, spec.classifier.digest)["model"]
    features = StoreReader(args.features, "features", spec.features)
    return _store.blocks(_store.trained(spec.classifier, state), features, index, rows, plan.shapes["actionness"])


def features(args, spec, plan, index, rows, meter):
    import torch

    from fsar_core.backbones import _features
    from fsar_core.devices import torch_device
    from fsar_core.registry import build
    from fsar_core.stores.reader import StoreReader

    torch.set_num_threads(args.threads)
    params = dict(spec.backbone.params, weights=args.weights, weights_root=args.weights_root)
    backbone = build("backbones", spec.backbone.name, **params)
    frames = StoreReader(args.frames, "frames", spec.frames)
    train_rows = frozenset(index.row[index.split == "train"])
    device, shape = torch_device(args.device), plan.shapes["features"]
    how = dict(mixed_precision=args.precision == "mixed", meter=meter, threads=free_threads(args))
    return _features.blocks(spec, backbone, frames, train_rows, shape, rows, args.batch_clips, device, **how)


def free_threads(args) -> int:
    """Threads for reading, cropping and compressing. On a CPU the network, or decoding, has the job's; a GPU has to be fed."""
    from fsar_core.devices import torch_device

    return args.threads if torch_device(args.device).type == "cuda" else 1
