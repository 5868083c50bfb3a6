"""Reading random episodes out of a feature store, and what it takes on disk.

    python benchmarks/reading.py [--clips 320] [--repeats 3] [--threads N] [--weights FILE]

Needs h5py and lmdb (`pip install -e ".[bench]"`). Features are float16, 8 x 2048 x 7 x 7 a clip (1.6 MB), of a ResNet-50 at
layer4 on frames of demo videos. Without `--weights` (torchvision's file) it has random weights, the BatchNorm statistics of
these very frames, and a bias before the last ReLU that makes 56 % zeros, where trained weights give 52 to 61 %. The
same clips lie

    in our store, uncompressed (`compression: none`) and with zstd, read by `StoreReader`
    in an .npy file that is mapped into memory, copied clip by clip
    in HDF5, a chunk a clip, uncompressed and with lzf, read by h5py
    in LMDB, a value a clip, uncompressed

and are read as 5-way episodes: 10 clips (1-shot) and 30 (5-shot), 5 queries. Warm: from the page cache, every clip having been
read before; cold: the files are dropped from it, and opened again, before every episode. A figure is bytes of features a
second, the ratio that of two readers in turn.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import lmdb
import numpy as np
import torch
from _side_by_side import Line, ratios, short

from fsar_core.components.registry import build
from fsar_core.data import demo
from fsar_core.data.decoding import decode
from fsar_core.data.transforms import fit_square
from fsar_core.runtime.seeding import rng
from fsar_core.stores import jpeg
from fsar_core.stores.layout import FILE_CLIPS, Plan, create
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block, write_job
from tests.builders import array_blocks, feature_plan, toy_feature_spec, toy_frame_spec

Read = Callable[[np.ndarray], np.ndarray]
Store = tuple[Path, Callable[[], Read]]  # its files, and what opens it
EPISODES = 30  # of a repeat
DRAWN = 16  # different clips


def drawn_frames() -> np.ndarray:
    """uint8 [clip frames height width channels]: of demo videos that were written, decoded and resized as for a store."""
    names = [
        (name, of) for name in demo.DATASETS[:2] for of in demo.class_names(name)[:: 96 // DRAWN]
    ]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (dataset, name) in enumerate(names[:DRAWN]):
            path = demo.write_clip(
                folder, dataset, name, seed=0, index=number, frames=32, height=256, width=340
            )
            decoded, _ = decode(path, np.arange(2, 32, 4), "decord")
            found.append(fit_square(decoded, 256, "crop"))
    return np.stack(found)


@torch.inference_mode()
def layer4(frames: np.ndarray, weights: Path | None) -> np.ndarray:
    """float16 [clip frames dim height width]"""
    torch.manual_seed(0)
    backbone = build("backbones", "resnet50", weights=weights)
    clips = torch.from_numpy(frames[..., 16:240, 16:240, :]).movedim(-1, 2)
    if weights is None:
        for module in backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the mean of what is seen
        backbone.train().to_cut(clips[:, ::4].flatten(0, 1), "layer4")
    found = torch.stack([backbone.eval().to_cut(clip, "layer4") for clip in clips])
    if (
        weights is None
    ):  # the last thing before this is a BatchNorm, an addition and a ReLU: a bias less
        found = (found - found.flatten()[::97].quantile(0.56)).relu()
    return found.numpy().astype(np.float16)


def our_store(folder: Path, values: np.ndarray, compression: str, threads: int) -> Store:
    spec = toy_feature_spec(compression=compression)
    plan = feature_plan(spec, values.shape[1:], len(values))
    create(folder, plan)
    for job in range(plan.jobs):
        write_job(
            folder,
            job,
            array_blocks(values[:, None], plan.rows(job)),
            folder / "receipts" / f"{job}.json",
        )
    seal(folder, 0)

    def opened() -> Read:
        reader = StoreReader(folder, "features", spec)
        return lambda rows: reader.read(rows, threads=threads)

    return folder, opened


def mapped(path: Path, values: np.ndarray) -> Store:
    np.save(path, values)

    def opened() -> Read:
        held = np.load(path, mmap_mode="r")
        return lambda rows: held[rows]

    return path, opened


def hdf5(path: Path, values: np.ndarray, compression: str | None) -> Store:
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "features", data=values, chunks=(1, *values.shape[1:]), compression=compression
        )

    def opened() -> Read:
        held = h5py.File(path, "r")["features"]

        def read(rows: np.ndarray) -> np.ndarray:
            out = np.empty((len(rows), *values.shape[1:]), values.dtype)
            for place, row in enumerate(rows.tolist()):
                held.read_direct(out, np.s_[row], np.s_[place])
            return out

        return read

    return path, opened


def lightning(folder: Path, values: np.ndarray) -> Store:
    with (
        lmdb.open(str(folder), map_size=2 * values.nbytes + 2**24) as base,
        base.begin(write=True) as writing,
    ):
        for row, value in enumerate(values):
            writing.put(b"%08d" % row, value.tobytes())
    bases = []

    def opened() -> Read:
        while bases:  # LMDB opens a folder once in a process
            bases.pop().close()
        bases.append(lmdb.open(str(folder), readonly=True, lock=False))

        def read(rows: np.ndarray) -> np.ndarray:
            out = np.empty((len(rows), *values.shape[1:]), values.dtype)
            with bases[0].begin(buffers=True) as reading:
                for place, row in enumerate(rows.tolist()):
                    out[place] = np.frombuffer(reading.get(b"%08d" % row), values.dtype).reshape(
                        values.shape[1:]
                    )
            return out

        return read

    return folder, opened


def forget(path: Path) -> None:
    """Drop a store's files from the page cache."""
    for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def rates(stores: dict[str, Store], clips: int, values: np.ndarray, cold: bool, repeats: int):
    """Bytes a second of every store in every repeat; the same episodes for all."""
    random, found = rng(0, "episodes", clips), {name: [] for name in stores}
    readers = {}
    for name, (_, opened) in stores.items():
        if not cold:
            readers[name] = opened()
            for start in range(0, len(values), clips):
                readers[name](np.arange(start, min(start + clips, len(values))))
    for _ in range(repeats):
        episodes = [
            random.choice(len(values), clips, replace=False) for _ in range(8 if cold else EPISODES)
        ]
        for name, (path, opened) in stores.items():
            taken = 0.0
            for rows in episodes:
                if cold:
                    readers.pop(name, None)
                    gc.collect()
                    forget(path)
                    readers[name] = opened()
                started = time.perf_counter()
                readers[name](rows)
                taken += time.perf_counter() - started
            found[name].append(len(episodes) * clips * values[0].nbytes / taken)
    return found


def size(path: Path) -> int:
    return (
        path.stat().st_size
        if path.is_file()
        else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    frames = drawn_frames()
    features = layer4(frames, args.weights)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        zeros = float((features == 0).mean())
        as_jpeg = np.stack([jpeg.encode(clip) for clip in frames])
        for what, values, stored, goal in (
            (f"layer4 on disk ({zeros:.0%} zeros)", features, features, "at most 0.55"),
            ("frames on disk", frames, frames, "at most 0.6"),
            ("frames on disk as JPEG", frames, as_jpeg, "at most 0.15"),
        ):
            folder = scratch / what
            arrays = {"x": list(stored.shape[1:])}, {"x": str(stored.dtype)}
            plan = Plan(
                1, toy_frame_spec().model_dump(mode="json"), len(stored), 1, *arrays, FILE_CLIPS
            )
            create(folder, plan)
            write_job(
                folder, 0, [Block({"x": stored[:, None]}, [])], folder / "receipts" / "0.json"
            )
            data = size(folder / "data.zarr")
            figures = (f"{data / 2**20:.1f} MiB", f"{values.nbytes / 2**20:.1f} MiB")
            Line(what, figures[0], "raw", figures[1], [data / values.nbytes], goal).show()
        values = np.concatenate([features] * -(-args.clips // len(features)))[: args.clips]
        stores = {
            "here, uncompressed": our_store(scratch / "none", values, "none", args.threads),
            "here, zstd": our_store(scratch / "zstd", values, "zstd", args.threads),
            "numpy memmap": mapped(scratch / "features.npy", values),
            "HDF5": hdf5(scratch / "raw.h5", values, None),
            "HDF5 with lzf": hdf5(scratch / "lzf.h5", values, "lzf"),
            "LMDB": lightning(scratch / "lmdb", values),
        }
        some = rng(0, "check").choice(len(values), 20, replace=False)
        for name, (_, opened) in stores.items():
            np.testing.assert_array_equal(opened()(some), values[some], err_msg=name)
        for clips in (10, 30):
            for cold in (False, True):
                found = rates(stores, clips, values, cold, args.repeats)
                for here, other, goal in (
                    ("here, uncompressed", "numpy memmap", "at least 0.8"),
                    ("here, uncompressed", "HDF5", "at least 1"),
                    ("here, uncompressed", "LMDB", ""),
                    ("here, zstd", "HDF5 with lzf", "at least 1"),
                ):
                    mine, others = (
                        f"{short(statistics.median(found[n]) / 1e6)} MB/s" for n in (here, other)
                    )
                    what = f"episodes of {clips} clips, {'cold' if cold else 'warm'}, {here.removeprefix('here, ')}"
                    Line(what, mine, other, others, ratios(found[here], found[other]), goal).show()


if __name__ == "__main__":
    main()
