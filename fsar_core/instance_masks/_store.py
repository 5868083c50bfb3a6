"""Masks stores: what a job of `fsar fill --kind masks` writes. Rows are those of the frame store, as far as training clips go:
they come first, and no other clip needs a mask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from torch import nn
from tqdm import tqdm

from fsar_core.data.frame_store import frames_taken
from fsar_core.errors import FsarError
from fsar_core.instance_masks._clips import ClipFrames
from fsar_core.specs import LAYOUT_VERSION, MaskSpec
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block


def plan(spec: MaskSpec, index: pd.DataFrame, clips_per_job: int) -> Plan:
    """Shapes and jobs of a masks store; its rows are the training clips."""
    train = index[index.split == "train"]
    if train.row.tolist() != list(range(len(train))):
        raise FsarError("the training clips are not the first rows of this index; make it with `fsar index`")
    frames = spec.frames
    return Plan(
        layout=LAYOUT_VERSION,
        spec=spec.model_dump(mode="json"),
        clips=len(train),
        views=frames.views,
        shapes={"masks": [frames.count, frames.size, frames.size]},
        dtypes={"masks": "uint8"},
        clips_per_job=whole_files(clips_per_job),
    )


def blocks(
    spec: MaskSpec, provider: nn.Module, looks: bool, index: pd.DataFrame, frames: StoreReader, rows: range
) -> Iterator[Block]:
    """{"masks": [clip view frames height width]} of `rows`, FILE_CLIPS at a time.

    Args:
        looks: the provider looks at the stored frames.
    """
    size = spec.frames.size
    with tqdm(total=len(rows), desc="masks", unit="clip", mininterval=1) as bar:
        for start in range(rows.start, rows.stop, FILE_CLIPS):
            part = range(start, min(start + FILE_CLIPS, rows.stop))
            out = np.zeros((len(part), spec.frames.views, spec.frames.count, size, size), np.uint8)
            failures = [
                {"row": r, "path": "", "problem": "failed in the frame store"} for r in part if r in frames.failed
            ]
            sound = [r for r in part if r not in frames.failed]
            clips = [_clip(spec, index.iloc[r].to_dict(), frames if looks else None) for r in sound]
            for row, clip, masks in zip(sound, clips, provider(clips), strict=True):
                if isinstance(masks, str):
                    failures.append({"row": row, "path": clip.record["path"], "problem": masks})
                else:
                    out[row - start] = masks
            bar.update(len(part))
            yield Block({"masks": out}, sorted(failures, key=lambda failure: failure["row"]))


def _clip(spec: MaskSpec, record: dict, frames: StoreReader | None) -> ClipFrames:
    row = int(record["row"])
    pictures = None if frames is None else np.stack([frames.read_clip(row, v) for v in range(spec.frames.views)])
    return ClipFrames(record, frames_taken(spec.frames, record), pictures, record["class"])
