"""Masks stores: instance masks of training clips.

Rows are those of the frame store, as far as training clips go: they come first, and no other clip
needs a mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from fsar_core.components import registry
from fsar_core.data import class_prompts
from fsar_core.data.content import clip_sha256s
from fsar_core.errors import FsarError
from fsar_core.specs import LAYOUT_VERSION, MaskSpec
from fsar_core.storage import weight_files
from fsar_core.storage.provenance import digest
from fsar_core.store_kinds.frames import frames_taken
from fsar_core.stores.inputs import MASK_COLUMNS, job_inputs, shards_digest
from fsar_core.stores.kinds import FillJob, FillOptions, StoreKind, Task
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block

if TYPE_CHECKING:
    from fsar_core.components.mask_provider import ClipFrames, MaskProvider
    from fsar_core.data.cards import Dataset

SCORE = "score"  # the array beside `masks`, where a provider gives scores


class Masks(StoreKind):
    """Instance masks of training clips, over the frames of a frame store."""

    spec_type = MaskSpec
    title = "masks store"
    requires: ClassVar = {"frames": "the frame store"}

    def fill_rule(self, spec: MaskSpec) -> str:
        return "seem_masks" if self.uses_gpu(spec) else "fill_masks"

    def uses_gpu(self, spec: MaskSpec) -> bool:
        return provider_loads(spec.provider.name)

    def needs(self, spec: MaskSpec, graph: Any) -> dict[str, list[Any]]:
        needs = {"frames": [graph.of(spec.frames)]}
        weights = graph.study.specs.weights
        if self.uses_gpu(spec) and weights.address() is not None:
            needs["weights"] = [graph.get("mask_weights", weights.of_masks())]
        return needs

    def params(self, spec: MaskSpec, study: Any) -> dict[str, Any]:
        folder = study.dataset(spec.dataset).folder
        return {"folder": str(folder), "weights": str(study.specs.weights.of_masks())}

    def clips(self, data: Dataset) -> int:
        return data.training_clips

    def clips_per_job(self, spec: MaskSpec, study: Any) -> int:
        return study.preset.masks.clips_per_job

    def frames_done(self, spec: MaskSpec, data: Dataset) -> int:
        return data.training_clips * spec.frames.views * spec.frames.count

    def stage(self, spec: MaskSpec) -> str:
        rule = self.fill_rule(spec)
        return f"{rule}.{spec.provider.name}" if self.uses_gpu(spec) else rule

    def frame_bytes(self, spec: MaskSpec) -> float:
        return spec.frames.size**2

    def check(self, spec: MaskSpec, checks: Any) -> None:
        checks.check_masks(spec)

    def for_dataset(self, dataset: str, study: Any) -> MaskSpec:
        return study.specs.masks_of(dataset)

    def plan(self, spec: MaskSpec, index: pd.DataFrame, clips_per_job: int) -> Plan:
        return plan(spec, index, clips_per_job)

    def task(self, job: FillJob) -> Task:
        spec, options = job.spec, job.options
        weights = Path(options.weights) if options.weights else None
        weight_files.check(weights, spec.weights)
        classes = job.index["class"][job.index.split == "train"]
        class_prompts.check(classes, spec.prompts)
        provider = registry.entry("instance_masks", spec.provider.name).attributes
        looks = provider["needs_frames"]
        files = _files_digest(job) if spec.source else None
        sha256 = weight_files.identity(weights).removeprefix("sha256:") if weights else None
        inputs = job_inputs(
            job.plan,
            job.index,
            job.rows,
            MASK_COLUMNS,
            frames=shards_digest(options.frames, job.rows, failures_only=not looks),
            files=files,
            weights=sha256,
        )

        def work() -> Iterator[Block]:
            frames = StoreReader(options.frames, "frames", spec.frames)
            return blocks(spec, _provider(job, classes), job.index, frames, job.rows)

        return Task(inputs, work)

    def uses_device(self, options: FillOptions) -> bool:
        return bool(options.weights)


def provider_loads(provider: str) -> bool:
    """Say whether a mask provider loads weights: then its jobs look at frames, on a GPU."""
    return registry.entry("instance_masks", provider).attributes["loads"] is not None


def key_pattern(loads: bool) -> str:
    """Return what the keys of stores look like whose provider does, or does not, load weights."""
    providers = [name for name in registry.names("instance_masks") if provider_loads(name) == loads]
    return rf"[A-Za-z0-9_-]+\.({'|'.join(providers)})\.[0-9a-f]+"


def _provider(job: FillJob, classes: pd.Series) -> MaskProvider:
    """Build the provider of a job's masks."""
    import torch

    from fsar_core.runtime.devices import torch_device

    spec, options = job.spec, job.options
    torch.set_num_threads(options.threads)
    offered = registry.accepted(
        "instance_masks",
        spec.provider.name,
        folder=options.folder,
        source=spec.source,
        frames=spec.frames,
        weights=Path(options.weights) if options.weights else None,
        prompts=sorted(set(map(class_prompts.words, classes))),
        device=torch_device(options.device),
        batch_frames=options.batch_frames,
    )
    return registry.build("instance_masks", spec.provider.name, **offered, **spec.provider.params)


def _files_digest(job: FillJob) -> str:
    """Return a digest of the masks files that belong to a job's clips."""
    from fsar_core.mask_providers.annotated import located

    clips = job.index.iloc[job.rows.start : job.rows.stop].to_dict("records")
    folder = job.options.folder
    paths = [folder / located(job.spec.source, clip) for clip in clips if clip["file"]]
    return digest(clip_sha256s(paths, threads=4, endings=(".png",)), length=64)


def plan(spec: MaskSpec, index: pd.DataFrame, clips_per_job: int) -> Plan:
    """Shapes and jobs of a masks store; its rows are the training clips."""
    train = index[index.split == "train"]
    if train.row.tolist() != list(range(len(train))):
        raise FsarError(
            "the training clips are not the first rows of this index; make it with `fsar index`"
        )
    arrays = _arrays(spec)
    return Plan(
        layout=LAYOUT_VERSION,
        spec=spec.model_dump(mode="json"),
        clips=len(train),
        views=spec.frames.views,
        shapes={name: list(shape) for name, (shape, _) in arrays.items()},
        dtypes={name: dtype for name, (_, dtype) in arrays.items()},
        clips_per_job=whole_files(clips_per_job),
    )


def _arrays(spec: MaskSpec) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape of a clip's view and dtype, by array."""
    frames = spec.frames
    arrays = {"masks": ((frames.count, frames.size, frames.size), "uint8")}
    if registry.entry("instance_masks", spec.provider.name).attributes["has_scores"]:
        arrays[SCORE] = ((frames.count,), "float32")
    return arrays


def blocks(
    spec: MaskSpec, provider: MaskProvider, index: pd.DataFrame, frames: StoreReader, rows: range
) -> Iterator[Block]:
    """Yield masks of `rows`, FILE_CLIPS at a time.

    They are `masks` [clip view frames height width] and, for a provider that gives scores, `score`
    [clip view frames]. Receipts count the frames that a provider was shown.
    """
    arrays, views = _arrays(spec), spec.frames.views
    looks = registry.entry("instance_masks", spec.provider.name).attributes["needs_frames"]
    with tqdm(total=len(rows), desc="masks", unit="clip", mininterval=1) as bar:
        for start in range(rows.start, rows.stop, FILE_CLIPS):
            part = range(start, min(start + FILE_CLIPS, rows.stop))
            out = {
                name: np.zeros((len(part), views, *shape), dtype)
                for name, (shape, dtype) in arrays.items()
            }
            failures = [
                {"row": r, "path": "", "problem": "failed in the frame store"}
                for r in part
                if r in frames.failed
            ]
            sound = [r for r in part if r not in frames.failed]
            clips = [_clip(spec, index.iloc[r].to_dict(), frames if looks else None) for r in sound]
            for row, clip, found in zip(sound, clips, provider(clips), strict=True):
                if isinstance(found, str):
                    failures.append({"row": row, "path": clip.record["path"], "problem": found})
                    continue
                out["masks"][row - start] = found.masks
                if SCORE in out:
                    out[SCORE][row - start] = found.score
            bar.update(len(part))
            counts = {"frames": sum(len(np.unique(clip.taken)) for clip in clips)} if looks else {}
            yield Block(out, sorted(failures, key=lambda failure: failure["row"]), counts)


def _clip(spec: MaskSpec, record: dict, frames: StoreReader | None) -> ClipFrames:
    from fsar_core.components.mask_provider import ClipFrames

    row = int(record["row"])
    pictures = (
        None
        if frames is None
        else np.stack([frames.read_clip(row, v) for v in range(spec.frames.views)])
    )
    return ClipFrames(
        record, frames_taken(spec.frames, record), pictures, class_prompts.words(record["class"])
    )
