"""Draw a job's share of a demo data set: what `fsar demo-videos` does."""

from __future__ import annotations

import time
from pathlib import Path

from tqdm import tqdm

from fsar_core.config import DemoVideos
from fsar_core.data import demo, intervals, splits
from fsar_core.errors import FsarError
from fsar_core.storage.provenance import digest, file_sha256, write_json


def draw_share(
    dataset: str, sizes: DemoVideos, seed: int, folder: Path, job: int, receipt: Path
) -> None:
    """Draw every n-th video of a data set with its instance masks; job 0 also writes the lists.

    Args:
        sizes: of the videos, and the number of jobs.
        folder: where videos/, masks/, split.tsv and intervals.tsv go.
        receipt: out, a digest of what was drawn.
    Raises:
        FsarError: there is no such job.
    """
    if not 0 <= job < sizes.jobs:
        raise FsarError(f"job {job} does not exist; the jobs are 0..{sizes.jobs - 1}")
    entries = demo.split_table(dataset, sizes.clips)
    if job == 0:
        splits.write(folder / "split.tsv", entries)
        acting = demo.interval_table(dataset, entries, seed, sizes.frames)
        if acting:
            intervals.write(folder / "intervals.tsv", acting)
    mine = entries.iloc[job :: sizes.jobs]
    started = time.time()
    sums = {}
    shape = dict(frames=sizes.frames, height=sizes.height, width=sizes.width)
    bar = tqdm(mine.itertuples(), total=len(mine), desc=dataset, unit="clip", mininterval=1)
    for clip in bar:
        number = demo.number_of(clip.path)
        path = demo.write_clip(folder, dataset, clip[2], seed, number, **shape)
        sums[clip.path] = file_sha256(path)
    seconds = round(time.time() - started, 3)
    write_json(receipt, {"clips": len(mine), "content": digest(sums), "seconds": seconds})
