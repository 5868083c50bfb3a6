"""Feature stores: a frozen backbone's activations at a cut. What a job of `fsar fill --kind features` writes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import torch
from einops import rearrange
from tqdm import tqdm

from fsar_core.components.backbone import Backbone
from fsar_core.data.augmentation import apply, stored_draw
from fsar_core.runtime.devices import Meter
from fsar_core.runtime.prefetch import arrived, prefetched
from fsar_core.specs import LAYOUT_VERSION, FeatureSpec
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block


@torch.inference_mode()
def plan(spec: FeatureSpec, backbone: Backbone, clips: int, clips_per_job: int) -> Plan:
    """Shapes and jobs of a feature store; the shape of a cut is found by one black frame."""
    black = torch.zeros(1, 3, spec.crop, spec.crop, dtype=torch.uint8)
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


@torch.inference_mode()
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
    """{"features": [clip view frames dim height width]} of `rows`, FILE_CLIPS at a time; failed clips stay failed.

    Args:
        mixed_precision: autocast, on a GPU only.
        meter: counts the time that is waited for frames.
        threads: that read and cut frames.
    """
    on_gpu, dtype = device.type == "cuda", getattr(torch, spec.dtype)
    # Half precision's kernels of a GPU want the channels innermost: a third more frames a second.
    layout = torch.channels_last if on_gpu else torch.contiguous_format
    backbone = backbone.eval().to(device, memory_format=layout)
    precision = torch.autocast(device.type, enabled=mixed_precision and on_gpu)
    parts = [range(start, min(start + FILE_CLIPS, rows.stop)) for start in range(rows.start, rows.stop, FILE_CLIPS)]
    sound = {part: list(_chunks(part, spec.frames.views, frames.failed, train_rows, batch_clips)) for part in parts}
    images = prefetched(
        lambda chunk: _images(spec, frames, *chunk, threads, on_gpu), chain.from_iterable(sound.values()), device
    )
    coming = (meter or Meter()).waiting(images)

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
                {"row": r, "path": "", "problem": "failed in the frame store"} for r in part if r in frames.failed
            ]
            bar.update(len(part))
            yield Block({"features": out}, failures)


def _chunks(
    part: range, views: int, failed: frozenset[int], train_rows: frozenset[int], size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(view, rows) of every forward pass; of views beyond the first only training clips have any."""
    for view in range(views):
        sound = [r for r in part if r not in failed and (view == 0 or r in train_rows)]
        for first in range(0, len(sound), size):
            yield view, np.array(sound[first : first + size])


def _images(
    spec: FeatureSpec, frames: StoreReader, view: int, rows: np.ndarray, threads: int, pinned: bool
) -> torch.Tensor:
    """uint8 [(clip frames) channels crop crop]."""
    out = torch.empty(len(rows), spec.frames.count, 3, spec.crop, spec.crop, dtype=torch.uint8, pin_memory=pinned)
    with ThreadPoolExecutor(threads) as pool:
        clips = frames.read(rows, view, threads)
        list(pool.map(lambda place, clip, row: place.copy_(_seen(spec, clip, row, view)), out, clips, rows))
    return out.flatten(0, 1)


def _seen(spec: FeatureSpec, clip: np.ndarray, row: int, view: int) -> torch.Tensor:
    """uint8 [frames channels crop crop]: the centre crop, or what this training view draws once and for all."""
    return apply(clip, stored_draw(spec, row, view, clip.shape[-2]), spec.crop)
