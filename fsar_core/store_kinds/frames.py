"""Frame stores: videos are decoded, frames sampled and resized."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from fsar_core.data.content import clip_sha256s, time_stamps
from fsar_core.data.decoding import VideoProblem, decode
from fsar_core.data.frame_sampling import frame_indices
from fsar_core.data.isolation import Lost, isolated_map
from fsar_core.data.transforms import fit_square
from fsar_core.errors import FsarError
from fsar_core.runtime.seeding import rng
from fsar_core.specs import LAYOUT_VERSION, FrameSpec
from fsar_core.storage.provenance import digest
from fsar_core.stores import jpeg
from fsar_core.stores.inputs import FRAME_COLUMNS, job_inputs
from fsar_core.stores.kinds import FillJob, StoreKind, Task
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.writer import Block

UPDATE_INDEX = "update the clip index with `snakemake -R clip_index -- TARGET`, with your target"


class Frames(StoreKind):
    """Frames of every clip, as they are decoded or as JPEG."""

    spec_type = FrameSpec
    title = "frame store"
    requires: ClassVar = {"folder": "the folder of the data set"}

    def clips_per_job(self, spec: FrameSpec, study: Any) -> int:
        return study.preset.frames.clips_per_job

    def params(self, spec: FrameSpec, study: Any) -> dict[str, Any]:
        return {"folder": str(study.dataset(spec.dataset).folder)}

    def frame_bytes(self, spec: FrameSpec) -> float:
        return spec.size**2 * 3

    def for_dataset(self, dataset: str, study: Any) -> FrameSpec:
        return study.specs.frames(dataset)

    def plan(self, spec: FrameSpec, index: pd.DataFrame, clips_per_job: int) -> Plan:
        return plan(spec, index, clips_per_job)

    def task(self, job: FillJob) -> Task:
        options = job.options
        clips = job.index.iloc[job.rows.start : job.rows.stop]
        paths = [options.folder / file for file in clips.file if file]
        before = time_stamps(paths)
        files = _video_digest(clips, paths, options.threads)
        inputs = job_inputs(job.plan, job.index, job.rows, FRAME_COLUMNS, files=files)

        def work() -> Iterator[Block]:
            yield from blocks(
                job.spec, job.index, options.folder, job.rows, options.threads, options.timeout
            )
            for path, old, new in zip(paths, before, time_stamps(paths), strict=True):
                if old != new:
                    raise FsarError(f"{path}: changed while its frames were stored; {UPDATE_INDEX}")

        return Task(inputs, work)


def _video_digest(clips: pd.DataFrame, paths: list[Path], threads: int) -> str:
    """Return a digest of the videos of a job.

    Raises:
        FsarError: a video is not the one that the clip index was made of.
    """
    sums = clip_sha256s(paths, threads)
    listed = clips[clips.file != ""].to_dict("records")
    for clip, sha256, path in zip(listed, sums, paths, strict=True):
        if clip["sha256"] in ("", sha256):
            continue
        what = "the video changed" if sha256 else "the video is gone or cannot be read any more,"
        raise FsarError(f"{path}: {what} since the clip index was made; {UPDATE_INDEX}")
    return digest(sums, length=64)


def plan(spec: FrameSpec, index: pd.DataFrame, clips_per_job: int) -> Plan:
    """Shapes and jobs of a frame store."""
    clip = [spec.count, spec.size, spec.size, 3]
    return Plan(
        layout=LAYOUT_VERSION,
        spec=spec.model_dump(mode="json"),
        clips=len(index),
        views=spec.views,
        shapes={"jpeg": [int(np.prod(clip))]} if spec.compression == "jpeg" else {"frames": clip},
        dtypes={"jpeg" if spec.compression == "jpeg" else "frames": "uint8"},
        clips_per_job=whole_files(clips_per_job),
    )


def blocks(
    spec: FrameSpec,
    index: pd.DataFrame,
    folder: Path,
    rows: range,
    workers: int = 1,
    timeout: float = 60.0,
) -> Iterator[Block]:
    """Yield frames of `rows`, FILE_CLIPS at a time.

    They are uint8 [clip view frames height width channels] or, as JPEG, [clip view bytes]. Receipts
    count the clips of each decoder.

    Args:
        workers: processes. A clip that makes one of them die or takes longer than `timeout`
            seconds, twice, is a failure with `"lost": True`.
    """
    clips = index.iloc[rows.start : rows.stop].to_dict("records")
    (name, shape), *_ = plan(spec, index, FILE_CLIPS).shapes.items()
    results = isolated_map(
        partial(_clip, spec, Path(folder)),
        clips,
        workers,
        timeout,
        name=lambda clip: f"'{clip['path']}'",
    )
    results = iter(tqdm(results, total=len(clips), desc="frames", unit="clip", mininterval=1))
    for start in range(0, len(clips), FILE_CLIPS):
        part = clips[start : start + FILE_CLIPS]
        out = np.zeros((len(part), spec.views, *shape), np.uint8)
        failures, counts = [], Counter()
        for position, (clip, result) in enumerate(
            zip(part, islice(results, len(part)), strict=True)
        ):
            if isinstance(result, str | Lost):
                failures.append(_failure(clip, result))
                continue
            frames, decoder = result
            out[position, : len(frames)] = frames
            counts[decoder] += 1
            if decoder != clip["decoder"]:
                counts[f"{decoder} in place of {clip['decoder']}"] += 1
                tqdm.write(
                    f"'{clip['path']}': {decoder} in place of {clip['decoder']}", file=sys.stderr
                )
        yield Block({name: out}, failures, counts)


def _failure(clip: dict, result: str | Lost) -> dict:
    """Return a receipt's entry of a clip that could not be decoded.

    It is `lost` if another attempt may succeed.
    """
    entry = {"row": int(clip["row"]), "path": clip["path"]}
    if isinstance(result, str):
        return entry | {"problem": result}
    return entry | {"problem": result.reason} | ({"lost": True} if result.worker_died else {})


def _clip(spec: FrameSpec, folder: Path, clip: dict) -> tuple[np.ndarray, str] | str:
    """Return the frames of every view as they are stored, and the decoder; or the problem."""
    if clip["problem"]:
        return clip["problem"]
    wanted = frames_taken(spec, clip)
    unique, inverse = np.unique(wanted, return_inverse=True)
    try:
        decoded, decoder = decode(folder / clip["file"], unique, clip["decoder"])
    except VideoProblem as problem:
        return str(problem)
    frames = fit_square(decoded, spec.size, spec.fit)[inverse.reshape(wanted.shape)]
    if spec.compression != "jpeg":
        return frames, decoder
    try:
        return np.stack([jpeg.encode(view) for view in frames]), decoder
    except ValueError as problem:
        return str(problem)


def frames_taken(spec: FrameSpec, clip: dict) -> np.ndarray:
    """Return the numbers of the frames that a store holds of a clip, int64 [view frames].

    Only training clips have several views.

    Args:
        clip: a row of the clip index.
    """
    total, fps = int(clip["frames"]), float(clip["fps"]) or 30.0
    views = range(spec.views if clip["split"] == "train" else 1)
    policies = [spec.train_policy if view else spec.policy for view in views]
    taken = []
    for view, policy in zip(views, policies):
        random = _view_rng(spec, clip["path"], view)
        taken.append(frame_indices(policy, total, spec.count, random, fps=fps))
    return np.stack(taken)


def _view_rng(spec: FrameSpec, path: str, view: int) -> np.random.Generator | None:
    """Return the random stream of a view; None for view 0, unless its policy is random."""
    if view == 0 and spec.policy != "segment_random":
        return None
    return rng(spec.seed, "view", spec.dataset, path, view)
