"""Draw the demo videos of one data set, or one job's share of them, with their instance masks, split list and intervals."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tqdm import tqdm

from fsar_core.config import DemoVideos, validate
from fsar_core.data import demo, intervals, splits
from fsar_core.errors import FsarError
from fsar_core.storage.provenance import digest, file_sha256, write_json


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", required=True, help="demo_temporal, demo_spatial or demo_partial")
    parser.add_argument("--spec", required=True, help="JSON of the preset's demo_videos block")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--folder",
        type=Path,
        required=True,
        help="where videos/, masks/, split.tsv and, of demo_partial, intervals.tsv go",
    )
    parser.add_argument("--job", type=int, default=0, help="this job's number")
    parser.add_argument("--jobs", type=int, default=1, help="of how many")
    parser.add_argument("--receipt", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    import json

    sizes = validate(DemoVideos, {**json.loads(args.spec), "jobs": args.jobs}, "--spec")
    if not 0 <= args.job < args.jobs:
        raise FsarError(f"job {args.job} does not exist; the jobs are 0..{args.jobs - 1}")
    entries = demo.split_table(args.dataset, sizes.clips)
    if args.job == 0:
        splits.write(args.folder / "split.tsv", entries)
        if acting := demo.interval_table(args.dataset, entries, args.seed, sizes.frames):
            intervals.write(args.folder / "intervals.tsv", acting)
    mine = entries.iloc[args.job :: args.jobs]
    started, sums = time.time(), {}
    shape = dict(frames=sizes.frames, height=sizes.height, width=sizes.width)
    for clip in tqdm(mine.itertuples(), total=len(mine), desc=args.dataset, unit="clip", mininterval=1):
        path = demo.write_clip(args.folder, args.dataset, clip[2], args.seed, demo.number_of(clip.path), **shape)
        sums[clip.path] = file_sha256(path)
    seconds = round(time.time() - started, 3)
    write_json(args.receipt, {"clips": len(mine), "content": digest(sums), "seconds": seconds})
