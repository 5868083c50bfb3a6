"""What the choices of the stores rest on: codecs, readers, and how many clips a shard file holds. README.md has a run of it.

    python benchmarks/choices.py [--clips 192] [--repeats 3]

Readers that are not installed are left out (`pip install zarrs tensorstore`). Clips are those of reading.py, all from the page
cache, read in random order, one thread each unless said otherwise. A figure is megabytes of values a second, the median of the
repeats; what is compared takes turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from _side_by_side import in_turn, short
from numcodecs import Blosc
from numcodecs.zstd import Zstd
from reading import drawn_frames, layer4
from zarr.codecs import Crc32cCodec, ZstdCodec

from fsar_core.runtime.seeding import rng
from fsar_core.stores import layout
from fsar_core.stores.shards import ShardFiles

CODECS = {
    "zstd 1": Zstd(1),
    "zstd 3": Zstd(3),
    "blosc lz4, bit-shuffle": Blosc("lz4", 5, Blosc.BITSHUFFLE),
    "blosc lz4, no shuffle": Blosc("lz4", 5, Blosc.NOSHUFFLE),
    "blosc zstd 1, byte-shuffle": Blosc("zstd", 1, Blosc.SHUFFLE),
    "blosc zstd 1, bit-shuffle": Blosc("zstd", 1, Blosc.BITSHUFFLE),
}


def codecs(name: str, values: np.ndarray, repeats: int) -> None:
    print(f"\n| codec, {name} | size of raw | written MB/s | read MB/s |\n|---|---|---|---|")
    clips = [np.ascontiguousarray(clip).reshape(-1).view(np.uint8) for clip in values]
    out = np.empty_like(clips[0])
    for codec in CODECS.values():
        if isinstance(codec, Blosc):
            codec.typesize = values.itemsize
    packed = {
        label: [codec.encode(clip.view(values.dtype)) for clip in clips]
        for label, codec in CODECS.items()
    }
    encoding = in_turn(
        *(lambda c=c: [c.encode(v.view(values.dtype)) for v in clips] for c in CODECS.values()),
        repeats=repeats,
    )
    decoding = in_turn(
        *(lambda n=n, c=c: [c.decode(p, out) for p in packed[n]] for n, c in CODECS.items()),
        repeats=repeats,
    )
    for label, written, read in zip(CODECS, encoding, decoding):
        size = sum(len(each) for each in packed[label]) / values.nbytes
        rates = (short(values.nbytes / 1e6 / statistics.median(times)) for times in (written, read))
        print(f"| {label} | {size:.3f} | {' | '.join(rates)} |", flush=True)


def stored(path: Path, values: np.ndarray, raw: bool, shard: int) -> zarr.Array:
    clip = values.shape[1:]
    compressors = [*([] if raw else [ZstdCodec(level=1)]), Crc32cCodec()]
    make = dict(
        shape=(len(values), 1, *clip),
        chunks=(1, 1, *clip),
        shards=(shard, 1, *clip),
        dtype=values.dtype,
    )
    with zarr.config.set({"array.write_empty_chunks": True}):
        array = zarr.create_array(
            path / "data.zarr", name="features", compressors=compressors, fill_value=0, **make
        )
        for start in range(0, len(values), shard):
            array[start : start + shard, 0] = values[start : start + shard]
    return zarr.open_array(path / "data.zarr" / "features", mode="r")


def readers(path: Path, array: zarr.Array, rows: np.ndarray) -> dict[str, Callable[[], object]]:
    out = np.empty((len(rows), *array.shape[2:]), array.dtype)
    shards = ShardFiles.of(path, "features", array)

    def ours() -> None:
        for place, row in enumerate(rows.tolist()):
            shards.read(row, 0, out[place])

    ways = {
        "here": ours,
        "zarr-python, a clip at a time": lambda: [array[int(row), 0] for row in rows],
        "zarr-python, oindex of all": lambda: array.oindex[rows, 0],
    }
    try:
        import tensorstore

        opened = tensorstore.open(
            {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": str(path / "data.zarr" / "features")},
            }
        ).result()
        ways["tensorstore, all at once (threads)"] = lambda: [
            each.result() for each in [opened[int(row), 0].read() for row in rows]
        ]
    except ImportError:
        pass
    try:
        import zarrs  # noqa: F401

        with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
            piped = zarr.open_array(path / "data.zarr" / "features", mode="r")
        ways["zarrs under zarr-python, a clip at a time"] = lambda: [
            piped[int(row), 0] for row in rows
        ]
    except ImportError:
        pass
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    frames = drawn_frames()
    features = layer4(frames, None)
    codecs("layer4", features, args.repeats)
    codecs("frames", frames, args.repeats)
    values = np.concatenate([features] * -(-args.clips // len(features)))[: args.clips]
    rows = rng(0, "choices").choice(len(values), 20, replace=False)
    with tempfile.TemporaryDirectory() as scratch:
        for raw in (False, True):
            path = Path(scratch) / str(raw)
            array = stored(path, values, raw, layout.FILE_CLIPS)
            ways = readers(path, array, rows)
            print(f"\n| reader, {'uncompressed' if raw else 'zstd 1'} | MB/s |\n|---|---|")
            for name, times in zip(ways, in_turn(*ways.values(), repeats=args.repeats)):
                print(
                    f"| {name} | {short(len(rows) * values[0].nbytes / 1e6 / statistics.median(times))} |",
                    flush=True,
                )
        print(
            "\n| clips in a shard file, zstd 1 | written MB/s | files for 72,000 clips |\n|---|---|---|"
        )
        sizes = (16, 64, 192)

        def write(shard: int) -> None:
            path = Path(scratch) / f"shard{shard}" / str(len(os.listdir(scratch)))
            stored(path, values, False, shard)
            for file in sorted(path.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()

        for shard, times in zip(
            sizes, in_turn(*(lambda s=s: write(s) for s in sizes), repeats=args.repeats)
        ):
            rate = short(values.nbytes / 1e6 / statistics.median(times))
            print(f"| {shard} | {rate} | {-(-72000 // shard):,} |", flush=True)


if __name__ == "__main__":
    main()
