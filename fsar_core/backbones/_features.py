"""Feature stores: a frozen backbone's activations at a cut. What a job of `fsar fill --kind features` writes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from einops import rearrange
from tqdm import tqdm

from fsar_core.backbones._stages import StagedBackbone
from fsar_core.data.augmentation import apply, stored_draw
from fsar_core.specs import LAYOUT_VERSION, FeatureSpec
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block


@torch.inference_mode()
def plan(spec: FeatureSpec, backbone: StagedBackbone, clips: int, clips_per_job: int) -> Plan:
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
    backbone: StagedBackbone,
    frames: StoreReader,
    train_rows: frozenset[int],
    shape: list[int],
    rows: range,
    batch_clips: int,
    device: torch.device,
) -> Iterator[Block]:
    """{"features": [clip view frames dim height width]} of `rows`, FILE_CLIPS at a time; failed clips stay failed."""
    backbone = backbone.eval().to(device)
    with tqdm(total=len(rows), desc=f"features on {device}", unit="clip", mininterval=1) as bar:
        for start in range(rows.start, rows.stop, FILE_CLIPS):
            part = range(start, min(start + FILE_CLIPS, rows.stop))
            out = np.zeros((len(part), spec.frames.views, *shape), spec.dtype)
            for view in range(spec.frames.views):
                sound = [r for r in part if r not in frames.failed and (view == 0 or r in train_rows)]
                for first in range(0, len(sound), batch_clips):
                    chunk = np.array(sound[first : first + batch_clips])
                    images = [_seen(spec, clip, row, view) for clip, row in zip(frames.read(chunk, view), chunk)]
                    activations = backbone.to_cut(torch.cat(images).to(device), spec.cut)
                    clips = rearrange(activations, "(clip frames) d h w -> clip frames d h w", clip=len(chunk))
                    out[chunk - start, view] = clips.cpu().numpy().astype(spec.dtype)
            failures = [
                {"row": r, "path": "", "problem": "failed in the frame store"} for r in part if r in frames.failed
            ]
            bar.update(len(part))
            yield Block({"features": out}, failures)


def _seen(spec: FeatureSpec, clip: np.ndarray, row: int, view: int) -> torch.Tensor:
    """uint8 [frames channels crop crop]: the centre crop, or what this training view draws once and for all."""
    return apply(clip, stored_draw(spec, row, view, clip.shape[-2]), spec.crop)
