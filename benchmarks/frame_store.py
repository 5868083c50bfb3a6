"""What a frame store costs, as ratios measured in one run: against the bare decoder, two workers against one, and memory.

    python benchmarks/frame_store.py [--clips 512] [--repeats 3] [--folder VIDEOS] [--table]

The bare decoder reads the same 8 frames of the same clips with decord, one clip after the other in one process, and keeps
nothing. The job is the one that the workflow runs (`fsar fill`): it decodes in workers, resizes to 256 x 256, compresses,
writes and checksums. Without --folder (class/clip files) it draws videos of moving textures like those of two data sets:
Kinetics (H.264, 340 x 256, 300 frames) and Something-Something (VP9, 427 x 240, 40 frames).

Ratios are medians over the repeats, in each of which all ways run one after the other.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from _side_by_side import Line, ratios, time_text

from fsar_core.config import Card
from fsar_core.data import new_dataset, probing
from fsar_core.data.frame_sampling import frame_indices
from fsar_core.data.index import write_index
from fsar_core.runtime.seeding import rng
from fsar_core.specs import FrameSpec
from fsar_core.store_kinds import frames as frame_store
from fsar_core.stores import layout

KINDS = {
    "like Kinetics": dict(
        suffix=".mp4", codec="libx264", height=256, width=340, frames=300, options={"g": "250"}
    ),
    "like Something-Something": dict(
        suffix=".webm",
        codec="libvpx-vp9",
        height=240,
        width=427,
        frames=40,
        options={"cpu-used": "8", "b": "600k"},
    ),
}
SPEC = FrameSpec(
    dataset="x",
    card="0" * 12,
    count=8,
    policy="segment_centre",
    size=256,
    fit="crop",
    views=1,
    seed=0,
)
DRAWN = 16  # different videos; the other clips are links to them


def draw(
    folder: Path,
    clips: int,
    suffix: str,
    codec: str,
    height: int,
    width: int,
    frames: int,
    options: dict,
) -> None:
    """`clips` files in folder/{a,b,c}: textures that slide, so that every frame costs the codec something."""
    import av

    for number in range(clips):
        path = folder / "abc"[number % 3] / f"{number:05d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number >= DRAWN:
            os.link(folder / "abc"[(number % DRAWN) % 3] / f"{number % DRAWN:05d}{suffix}", path)
            continue
        random = rng(0, "texture", number)
        coarse = random.integers(0, 256, (height // 4 + 40, width // 4 + 120, 3), dtype=np.uint8)
        texture = coarse.repeat(4, axis=0).repeat(4, axis=1)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = width - width % 2, height, "yuv420p"
            for frame in range(frames):
                x, y = frame % 120 * 4, int(20 + 20 * np.sin(frame / 9))
                picture = texture[y : y + height, x : x + stream.width]
                container.mux(
                    stream.encode(
                        av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                    )
                )
            container.mux(stream.encode())


def bare(index: pd.DataFrame, folder: Path) -> None:
    """Decodes the frames of every clip and keeps nothing."""
    import decord

    for clip in index.itertuples():
        reader = decord.VideoReader(str(folder / clip.file), ctx=decord.cpu(0), num_threads=1)
        reader.get_batch(frame_indices(SPEC.policy, clip.frames, SPEC.count).tolist()).asnumpy()


def seconds(function: Callable, *arguments) -> float:
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


class Job:
    """A frame store of one job, filled anew each time by the command line in a process of its own."""

    def __init__(self, index: pd.DataFrame, folder: Path, scratch: Path) -> None:
        self.folder, self.store, self.index = folder, scratch / "store", scratch / "index.tsv"
        scratch.mkdir()
        write_index(self.index, index)
        self.plan = frame_store.plan(SPEC, index, len(index))

    def fill(self, workers: int, watched: bool = False) -> int:
        """Runs the job. Watched: the largest memory of the process and its workers, in bytes, looked at five times a second."""
        shutil.rmtree(self.store, ignore_errors=True)  # what is done is not done again
        layout.create(self.store, self.plan)
        command = [
            sys.executable,
            "-m",
            "fsar_core",
            "fill",
            "--spec",
            SPEC.json_text,
            "--store",
            self.store,
        ]
        command += [
            "--index",
            self.index,
            "--folder",
            self.folder,
            "--job",
            0,
            "--threads",
            workers,
        ]
        command += ["--receipt", self.store / "receipts" / "0.json"]
        process = subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        largest = 0
        while watched and process.poll() is None:
            largest = max(largest, sum(map(resident, family(process.pid))))
            time.sleep(0.2)
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors.decode())
        return largest


def family(process: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{process}/task/{process}/children")
    below = children.read_text().split() if children.exists() else []
    return [process, *(one for child in below for one in family(int(child)))]


def resident(process: int) -> int:
    """Memory that is the process's own: pages shared with others count in part."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measure(name: str, folder: Path, clips: int, repeats: int, scratch: Path, table: bool) -> None:
    entries = new_dataset.propose(folder, way=1).entries[:clips]
    index = probing.build_index(entries, Card.model_construct(), folder, workers=2)
    index = (
        index[index.problem == ""]
        .reset_index(drop=True)
        .assign(row=lambda table: range(len(table)))
    )
    job = Job(index, folder, scratch)
    times: dict[str, list[float]] = {"bare": [], "one": [], "two": []}
    for _ in range(repeats):
        times["bare"].append(seconds(bare, index, folder))
        times["one"].append(seconds(job.fill, 1))
        if not table:
            times["two"].append(seconds(job.fill, 2))
    if table:
        figures = [time_text(statistics.median(times[way]) / len(index)) for way in ("one", "bare")]
        what = f"frame store of {len(index)} clips {name}, a clip"
        Line(
            what,
            figures[0],
            "the bare decoder",
            figures[1],
            ratios(times["one"], times["bare"]),
            "at most 1.15",
        ).show()
        return
    against = statistics.median(one / plain for one, plain in zip(times["one"], times["bare"]))
    gain = statistics.median(one / two for one, two in zip(times["one"], times["two"]))
    per_clip = statistics.median(times["bare"]) / len(index) * 1000
    print(
        f"{name}: {len(index)} clips, bare decoder {per_clip:.0f} ms a clip; frame store {against:.2f} times its time; "
        f"2 workers {gain:.2f} times as fast as 1"
    )


def measure_memory(folder: Path, clips: int, scratch: Path) -> None:
    entries = new_dataset.propose(folder, way=1).entries
    index = probing.build_index(entries, Card.model_construct(), folder, workers=2)
    found = []
    for count in (clips // 4, clips):
        many = pd.concat([index] * -(-count // len(index)), ignore_index=True)[:count].assign(
            row=range(count)
        )
        found.append(Job(many, folder, scratch / str(count)).fill(2, watched=True) / 2**20)
    print(
        f"largest memory of a job with 2 workers: {found[0]:.0f} MiB at {clips // 4} clips, {found[1]:.0f} MiB at {clips} "
        f"clips ({found[1] / found[0]:.2f} times)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="class/clip files")
    parser.add_argument(
        "--table",
        action="store_true",
        help="lines for the table of `make bench`; memory is not measured",
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders = {str(args.folder): args.folder} if args.folder else {}
        for name, kind in KINDS.items() if not args.folder else ():
            folders[name] = Path(scratch) / name
            draw(folders[name], args.clips, **kind)
        for number, (name, folder) in enumerate(folders.items()):
            measure(
                name, folder, args.clips, args.repeats, Path(scratch) / f"job{number}", args.table
            )
        if args.table:
            return
        (Path(scratch) / "memory").mkdir()
        measure_memory(folders[name], 2000, Path(scratch) / "memory")


if __name__ == "__main__":
    main()
