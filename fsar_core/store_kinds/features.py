"""Feature stores: activations of a frozen backbone at a cut."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from einops import rearrange
from tqdm import tqdm

from fsar_core.components.registry import build
from fsar_core.models.backbone_weights import checked_sha256
from fsar_core.runtime.devices import Meter, torch_device
from fsar_core.specs import LAYOUT_VERSION, FeatureSpec, FrameSpec
from fsar_core.stores.inputs import SPLIT_COLUMNS, job_inputs, shards_digest
from fsar_core.stores.kinds import FillJob, FillOptions, StoreKind, Task
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block

if TYPE_CHECKING:
    import torch

    from fsar_core.components.backbone import Backbone


class Features(StoreKind):
    """Features of every clip, and of the augmented views of training clips."""

    spec_type = FeatureSpec
    title = "feature store"
    requires: ClassVar = {
        "frames": "the frame store",
        "weights": "a weights file or a name that its backbone knows",
    }

    def kept_as(self, spec: FeatureSpec) -> FeatureSpec | FrameSpec:
        # At this cut nothing is computed: the features are the frames themselves.
        return spec.frames if spec.cut == "frames" else spec

    def uses_gpu(self, spec: FeatureSpec) -> bool:
        return True

    def needs(self, spec: FeatureSpec, graph: Any) -> dict[str, list[Any]]:
        return {"frames": [graph.of(spec.frames)], "trained": graph.weights_of(spec)}

    def params(self, spec: FeatureSpec, study: Any) -> dict[str, Any]:
        backbone = study.specs.backbone_of(spec)
        return {
            "weights": study.specs.weights_option(spec),
            "batch_clips": backbone.batch_clips,
        }

    def clips_per_job(self, spec: FeatureSpec, study: Any) -> int:
        return study.specs.backbone_of(spec).clips_per_job

    def stage(self, spec: FeatureSpec) -> str:
        return f"{self.fill_rule(spec)}.{spec.backbone.name}"

    def content(self, spec: FeatureSpec) -> str:
        return f"{self.name}.{spec.backbone.name}"

    def frame_bytes(self, spec: FeatureSpec) -> float:
        return grid_values(spec) * np.dtype(spec.dtype).itemsize

    def check(self, spec: FeatureSpec, checks: Any) -> None:
        checks.check_features(spec)

    def plan(self, spec: FeatureSpec, index: pd.DataFrame, clips_per_job: int) -> Plan:
        # The shape of a cut does not depend on the weights, so none are needed yet.
        backbone = build("backbones", spec.backbone.name, **spec.backbone.params)
        return plan(spec, backbone, len(index), clips_per_job)

    def task(self, job: FillJob) -> Task:
        spec, options = job.spec, job.options
        inputs = job_inputs(
            job.plan,
            job.index,
            job.rows,
            SPLIT_COLUMNS,
            frames=shards_digest(options.frames, job.rows),
            weights=checked_sha256(options.weights, spec.backbone, options.weights_root),
        )

        def work() -> Iterator[Block]:
            import torch

            torch.set_num_threads(options.threads)
            files = dict(weights=options.weights, weights_root=options.weights_root)
            backbone = build("backbones", spec.backbone.name, **files, **spec.backbone.params)
            return blocks(
                spec,
                backbone,
                StoreReader(options.frames, "frames", spec.frames),
                frozenset(job.index.row[job.index.split == "train"]),
                job.plan.shapes["features"],
                job.rows,
                options.batch_clips,
                torch_device(options.device),
                mixed_precision=options.mixed_precision,
                meter=options.meter,
                threads=self.write_threads(options),
            )

        return Task(inputs, work)

    def write_threads(self, options: FillOptions) -> int:
        # On a CPU the network has the job's threads; a GPU has to be fed.
        return options.threads if torch_device(options.device).type == "cuda" else 1

    def uses_device(self, options: FillOptions) -> bool:
        return True


def plan(spec: FeatureSpec, backbone: Backbone, clips: int, clips_per_job: int) -> Plan:
    """Return shapes and jobs of a feature store; the shape of a cut is that of one black frame."""
    import torch

    black = torch.zeros(1, 3, spec.crop, spec.crop, dtype=torch.uint8)
    with torch.inference_mode():
        _, dim, height, width = backbone.eval().to_cut(black, spec.cut).shape
    return Plan(
        layout=LAYOUT_VERSION,
        spec=spec.model_dump(mode="json"),
        clips=clips,
        views=spec.frames.views,
        shapes={"features": [spec.frames.count, dim, height, width]},
        dtypes={"features": spec.dtype},
        clips_per_job=whole_files(clips_per_job),
    )


def blocks(
    spec: FeatureSpec,
    backbone: Backbone,
    frames: StoreReader,
    train_rows: frozenset[int],
    shape: list[int],
    rows: range,
    batch_clips: int,
    device: torch.device,
    mixed_precision: bool = False,
    meter: Meter | None = None,
    threads: int = 1,
) -> Iterator[Block]:
    """Yield features [clip view frames dim height width] of `rows`, FILE_CLIPS at a time.

    Failed clips stay failed.

    Args:
        mixed_precision: autocast, on a GPU only.
        meter: counts the time that is waited for frames.
        threads: that read and cut frames.
    """
    import torch

    # As a decorator the mode ends at every yield; a `with` block would stay on between blocks.
    return torch.inference_mode()(_blocks)(
        spec,
        backbone,
        frames,
        train_rows,
        shape,
        rows,
        batch_clips,
        device,
        mixed_precision,
        meter or Meter(),
        threads,
    )


def _blocks(
    spec: FeatureSpec,
    backbone: Backbone,
    frames: StoreReader,
    train_rows: frozenset[int],
    shape: list[int],
    rows: range,
    batch_clips: int,
    device: torch.device,
    mixed_precision: bool,
    meter: Meter,
    threads: int,
) -> Iterator[Block]:
    import torch

    from fsar_core.runtime.prefetch import arrived, prefetched

    on_gpu, dtype = device.type == "cuda", getattr(torch, spec.dtype)
    # Half precision's kernels of a GPU want the channels innermost: a third more frames a second.
    layout = torch.channels_last if on_gpu else torch.contiguous_format
    backbone = backbone.eval().to(device, memory_format=layout)
    precision = torch.autocast(device.type, enabled=mixed_precision and on_gpu)
    parts = [
        range(start, min(start + FILE_CLIPS, rows.stop))
        for start in range(rows.start, rows.stop, FILE_CLIPS)
    ]
    sound = {
        part: list(_chunks(part, spec.frames.views, frames.failed, train_rows, batch_clips))
        for part in parts
    }
    images = prefetched(
        lambda chunk: _images(spec, frames, *chunk, threads, on_gpu),
        chain.from_iterable(sound.values()),
        device,
    )
    coming = meter.waiting(images)

    def filled() -> Iterator[torch.Tensor]:
        for part in parts:
            out = torch.zeros(len(part), spec.frames.views, *shape, dtype=dtype, pin_memory=on_gpu)
            for view, chunk in sound[part]:
                with precision:
                    made = backbone.to_cut(next(coming).contiguous(memory_format=layout), spec.cut)
                clips = rearrange(made, "(clip frames) d h w -> clip frames d h w", clip=len(chunk))
                for place, clip in zip((chunk - part.start).tolist(), clips.to(dtype).contiguous()):
                    out[place, view].copy_(clip, non_blocking=True)
            yield out

    with tqdm(total=len(rows), desc=f"features on {device}", unit="clip", mininterval=1) as bar:
        for part, out in zip(parts, arrived(filled(), device)):
            failures = [
                {"row": r, "path": "", "problem": "failed in the frame store"}
                for r in part
                if r in frames.failed
            ]
            bar.update(len(part))
            yield Block({"features": out}, failures)


def _chunks(
    part: range, views: int, failed: frozenset[int], train_rows: frozenset[int], size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield view and rows of every forward pass; only training clips have more than one view."""
    for view in range(views):
        sound = [r for r in part if r not in failed and (view == 0 or r in train_rows)]
        for first in range(0, len(sound), size):
            yield view, np.array(sound[first : first + size])


def _images(
    spec: FeatureSpec, frames: StoreReader, view: int, rows: np.ndarray, threads: int, pinned: bool
) -> torch.Tensor:
    """uint8 [(clip frames) channels crop crop]."""
    import torch

    out = torch.empty(
        len(rows), spec.frames.count, 3, spec.crop, spec.crop, dtype=torch.uint8, pin_memory=pinned
    )
    with ThreadPoolExecutor(threads) as pool:
        clips = frames.read(rows, view, threads)
        list(
            pool.map(
                lambda place, clip, row: place.copy_(_seen(spec, clip, row, view)), out, clips, rows
            )
        )
    return out.flatten(0, 1)


def _seen(spec: FeatureSpec, clip: np.ndarray, row: int, view: int) -> torch.Tensor:
    """Return uint8 [frames channels crop crop]: the center crop, or the draw of a training view."""
    from fsar_core.data.augmentation import apply, stored_draw

    return apply(clip, stored_draw(spec, row, view, clip.shape[-2]), spec.crop)


def grid_values(spec: FeatureSpec) -> int:
    """Return how many numbers a frame's features at the cut are, without computing any."""
    backbone = (spec.backbone.name, str(sorted(spec.backbone.params.items())))
    key = (*backbone, spec.cut, spec.crop)
    if key not in _GRIDS:
        import torch

        with torch.device("meta"), torch.inference_mode():
            network = build("backbones", spec.backbone.name, **spec.backbone.params).eval()
            frame = torch.zeros(1, 3, spec.crop, spec.crop, dtype=torch.uint8)
            _GRIDS[key] = network.to_cut(frame, spec.cut).numel()
    return _GRIDS[key]


_GRIDS: dict[tuple, int] = {}
