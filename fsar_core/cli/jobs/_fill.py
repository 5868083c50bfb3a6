"""What the jobs of `fsar fill` are made from and what they write, by kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fsar_core.data.content import clip_sha256s, time_stamps
from fsar_core.errors import FsarError
from fsar_core.storage.provenance import digest
from fsar_core.stores.inputs import (
    FRAME_COLUMNS,
    MASK_COLUMNS,
    SPLIT_COLUMNS,
    Inputs,
    file_digest,
    job_inputs,
    shards_digest,
)
from fsar_core.stores.writer import Block


class Task(NamedTuple):
    """One job.

    Attributes:
        inputs: what it is made from.
        blocks: does the expensive work; called only where the job has to be done.
    """

    inputs: Inputs
    blocks: Callable[[], Iterable[Block]]


def frames(args, spec, plan, index, rows) -> Task:
    from fsar_core.store_kinds import frames as frame_store

    clips = index.iloc[rows.start : rows.stop]
    paths = [Path(args.folder) / file for file in clips.file if file]
    before = time_stamps(paths)
    files = _video_digest(clips, paths, args.threads)

    def blocks() -> Iterator[Block]:
        yield from frame_store.blocks(spec, index, args.folder, rows, args.threads, args.timeout)
        for path, old, new in zip(paths, before, time_stamps(paths), strict=True):
            if old != new:
                raise FsarError(f"{path}: changed while its frames were stored; {_AGAIN}")

    return Task(job_inputs(plan, index, rows, FRAME_COLUMNS, files=files), blocks)


_AGAIN = "update the clip index with `snakemake -R clip_index -- TARGET`, with your target"


def _video_digest(clips, paths: list[Path], threads: int) -> str:
    """Digest of the videos of a job.

    Raises:
        FsarError: a video is not the one that the clip index was made of.
    """
    sums = clip_sha256s(paths, threads)
    listed = clips[clips.file != ""]
    for clip, found, path in zip(listed.to_dict("records"), sums, paths, strict=True):
        if clip["sha256"] not in ("", found):
            what = "the video changed" if found else "the video is gone or cannot be read any more,"
            raise FsarError(f"{path}: {what} since the clip index was made; {_AGAIN}")
    return digest(sums, length=64)


def masks(args, spec, plan, index, rows) -> Task:
    from fsar_core.components.registry import accepted, build, entry
    from fsar_core.data import class_prompts
    from fsar_core.storage import weight_files
    from fsar_core.store_kinds import masks as masks_store

    name, weights = spec.provider.name, Path(args.weights) if args.weights else None
    weight_files.check(weights, spec.weights)
    classes = index["class"][index.split == "train"]
    class_prompts.check(classes, spec.prompts)
    needs_frames = entry("instance_masks", name).attributes["needs_frames"]
    inputs = job_inputs(
        plan,
        index,
        rows,
        MASK_COLUMNS,
        frames=shards_digest(args.frames, rows, failures_only=not needs_frames),
        files=_masks_digest(spec.source, args.folder, index, rows) if spec.source else None,
        weights=weight_files.identity(weights).removeprefix("sha256:") if weights else None,
    )

    def blocks() -> Iterator[Block]:
        import torch

        from fsar_core.runtime.devices import torch_device
        from fsar_core.stores.reader import StoreReader

        torch.set_num_threads(args.threads)
        offered = dict(
            folder=args.folder,
            source=spec.source,
            frames=spec.frames,
            weights=weights,
            prompts=sorted(set(map(class_prompts.words, classes))),
            device=torch_device(args.device),
            batch_frames=args.batch_frames,
        )
        provider = build("instance_masks", name, **accepted("instance_masks", name, **offered), **spec.provider.params)
        return masks_store.blocks(spec, provider, index, StoreReader(args.frames, "frames", spec.frames), rows)

    return Task(inputs, blocks)


def _masks_digest(source: str, folder: Path, index, rows: range) -> str:
    """Digest of the masks files that belong to a job's clips."""
    from fsar_core.mask_providers.annotated import located

    clips = index.iloc[rows.start : rows.stop].to_dict("records")
    paths = [Path(folder) / located(source, clip) for clip in clips if clip["file"]]
    return digest(clip_sha256s(paths, threads=4, endings=(".png",)), length=64)


def saliency(args, spec, plan, index, rows) -> Task:
    if not args.weights:
        raise FsarError("--weights: missing; a saliency store needs the classifier's checkpoint")
    inputs = job_inputs(
        plan,
        index,
        rows,
        SPLIT_COLUMNS,
        features=shards_digest(args.features, rows),
        weights=file_digest(args.weights),
    )

    def blocks() -> Iterator[Block]:
        import torch

        from fsar_core.storage import checkpoint
        from fsar_core.store_kinds import saliency as saliency_store
        from fsar_core.stores.reader import StoreReader

        torch.set_num_threads(args.threads)
        state = checkpoint.load(args.weights, spec.classifier.digest)["model"]
        features = StoreReader(args.features, "features", spec.features)
        classifier = saliency_store.trained(spec.classifier, state)
        return saliency_store.blocks(classifier, features, index, rows, plan.shapes["actionness"])

    return Task(inputs, blocks)


def features(args, spec, plan, index, rows, meter) -> Task:
    from fsar_core.models.backbone_weights import checked_sha256

    if not args.weights:
        raise FsarError("--weights: missing; a feature store needs a weights file or a name that its backbone knows")
    inputs = job_inputs(
        plan,
        index,
        rows,
        SPLIT_COLUMNS,
        frames=shards_digest(args.frames, rows),
        weights=checked_sha256(args.weights, spec.backbone, args.weights_root),
    )

    def blocks() -> Iterator[Block]:
        import torch

        from fsar_core.components.registry import build
        from fsar_core.runtime.devices import torch_device
        from fsar_core.store_kinds import features as feature_store
        from fsar_core.stores.reader import StoreReader

        torch.set_num_threads(args.threads)
        params = dict(spec.backbone.params, weights=args.weights, weights_root=args.weights_root)
        backbone = build("backbones", spec.backbone.name, **params)
        frames = StoreReader(args.frames, "frames", spec.frames)
        train_rows = frozenset(index.row[index.split == "train"])
        device, shape = torch_device(args.device), plan.shapes["features"]
        how = dict(mixed_precision=args.precision == "mixed", meter=meter, threads=free_threads(args))
        return feature_store.blocks(spec, backbone, frames, train_rows, shape, rows, args.batch_clips, device, **how)

    return Task(inputs, blocks)


def free_threads(args) -> int:
    """Threads for reading, cropping and compressing. On a CPU the network, or decoding, has the job's; a GPU has to be fed."""
    from fsar_core.runtime.devices import torch_device

    return args.threads if torch_device(args.device).type == "cuda" else 1
