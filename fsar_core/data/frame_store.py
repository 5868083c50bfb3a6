"""Frame stores: decode, sample, resize. What a job of `fsar fill --kind frames` writes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fsar_core.data.decoding import VideoProblem, decode
from fsar_core.data.frame_sampling import frame_indices
from fsar_core.data.transforms import fit_square
from fsar_core.seeding import rng
from fsar_core.specs import LAYOUT_VERSION, FrameSpec
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.writer import Block


def plan(spec: FrameSpec, index: pd.DataFrame, clips_per_job: int) -> Plan:
    """Shapes and jobs of a frame store."""
    return Plan(
        layout=LAYOUT_VERSION,
        spec=spec.model_dump(mode="json"),
        clips=len(index),
        views=spec.views,
        shapes={"frames": [spec.count, spec.size, spec.size, 3]},
        dtypes={"frames": "uint8"},
        clips_per_job=whole_files(clips_per_job),
    )


def blocks(spec: FrameSpec, index: pd.DataFrame, folder: Path, rows: range, threads: int = 1) -> Iterator[Block]:
    """Frames of `rows`, FILE_CLIPS at a time: {"frames": uint8 [clip view frames height width channels]}, failures."""
    make = partial(_clip, spec, Path(folder))
    with ThreadPoolExecutor(threads) as pool, tqdm(total=len(rows), desc="frames", unit="clip", mininterval=1) as bar:
        for start in range(rows.start, rows.stop, FILE_CLIPS):
            part = index.iloc[start : min(start + FILE_CLIPS, rows.stop)]
            out = np.zeros((len(part), spec.views, spec.count, spec.size, spec.size, 3), np.uint8)
            failures = []
            for position, (clip, result) in enumerate(zip(part.itertuples(), pool.map(make, part.to_dict("records")))):
                if isinstance(result, str):
                    failures.append({"row": int(clip.row), "path": clip.path, "problem": result})
                else:
                    out[position, : len(result)] = result
                bar.update()
            yield {"frames": out}, failures


def _clip(spec: FrameSpec, folder: Path, clip: dict) -> np.ndarray | str:
    """[view frames height width channels], or why the clip cannot be had."""
    if clip["problem"]:
        return clip["problem"]
    # Only training clips are seen from several views.
    views = spec.views if clip["split"] == "train" else 1
    total, fps = int(clip["frames"]), float(clip["fps"]) or 30.0
    wanted = [frame_indices(spec.policy, total, spec.count, _view_rng(spec, clip["path"], 0), fps=fps)]
    for view in range(1, views):
        wanted.append(frame_indices(spec.train_policy, total, spec.count, _view_rng(spec, clip["path"], view), fps=fps))
    unique, inverse = np.unique(np.concatenate(wanted), return_inverse=True)
    try:
        decoded = fit_square(decode(folder / clip["path"], unique), spec.size, spec.fit)
    except VideoProblem as problem:
        return str(problem)
    return decoded[inverse.reshape(views, spec.count)]


def _view_rng(spec: FrameSpec, path: str, view: int) -> np.random.Generator | None:
    """View 0 is deterministic unless the policy itself is random; every view has a stream of its own."""
    if view == 0 and spec.policy != "segment_random":
        return None
    return rng(spec.seed, "view", spec.dataset, path, view)
