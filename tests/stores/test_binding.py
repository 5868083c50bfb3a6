"""A clip comes out of the shard that was sealed for it, or not at all: no shard may be missing, moved, or another's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from fsar_core.errors import FsarError
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import write_json
from fsar_core.stores.layout import FILE_CLIPS
from fsar_core.stores.manifest import read_receipt
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.shards import SUM, ShardFiles, clip_sums
from fsar_core.stores.verify import examine
from tests.stores.conftest import Toy, planned


@pytest.fixture(params=["folder", "bucket"])
def root(request, tmp_path) -> Place:
    return tmp_path if request.param == "folder" else request.getfixturevalue("bucket")


@pytest.fixture(params=["zstd", "none"])
def compression(request) -> str:
    return request.param


def sealed(path: Place, compression: str, seed: int = 0) -> Toy:
    """Every shard holds other values, also those of view 1; with `seed` those of another store."""
    toy = planned(path, compression=compression)
    toy.values = np.random.default_rng(seed).normal(size=toy.values.shape).astype(np.float16)
    toy.fill().seal()
    return toy


def failure(call, *values) -> str:
    with pytest.raises(FsarError) as error:
        call(*values)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("read_before", [False, True])
def test_a_shard_that_is_gone_is_not_read_as_zeros(root, compression, read_before):
    toy = sealed(root / "store", compression)
    reader = StoreReader(toy.path, "features", toy.spec)
    if read_before:
        reader.read_clip(70, 1)
    toy.shard(1, 1).unlink()
    rows = np.array([3, 70])
    for call in (
        lambda: reader.read_clip(70, 1),
        lambda: reader.read(rows, 1),
        lambda: reader.read(rows, 1, threads=2),
    ):
        assert failure(call) == (
            f"{toy.path}: array 'features' row 70 is damaged (its shard is missing), in "
            f"data.zarr/features/c/1/1/0/0/0/0; mend it with `fsar repair {toy.path}`"
        )
    np.testing.assert_array_equal(reader.read(np.arange(64)), toy.values[:64, 0])


def test_only_a_shard_that_the_manifest_does_not_list_is_zeros(root, compression):
    toy = planned(root / "store", compression=compression)  # clips 128.. have no view 1
    toy.fill().seal()
    reader = StoreReader(toy.path, "features", toy.spec)
    assert not reader.read_clip(130, 1).any()
    if isinstance(root, Path):
        toy.shard(2, 1).parent.mkdir(parents=True)
    toy.shard(2, 1).write_bytes(
        toy.shard(2, 0).read_bytes()
    )  # nor is a file read that was not sealed
    assert not reader.read_clip(130, 1).any()


def swap(one: Place, other: Place) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


SWAPS = {
    "two ranges of rows": lambda toy, other: (toy.shard(0), toy.shard(1)),
    "two views": lambda toy, other: (toy.shard(1, 0), toy.shard(1, 1)),
    "two stores": lambda toy, other: (toy.shard(1), other.shard(1)),
}


@pytest.mark.parametrize("opened", ["before", "after"])
@pytest.mark.parametrize("kind", SWAPS)
def test_swapped_shards_are_seen(root, kind, opened):
    """Uncompressed, they are of equal size and have the same index: nothing in the files tells one from the other."""
    toy, other = sealed(root / "toy", "none"), sealed(root / "other", "none", seed=1)
    reader = StoreReader(toy.path, "features", toy.spec)
    if opened == "before":
        reader.read(np.arange(128), 0)
        reader.read(np.arange(128), 1)
    swap(*SWAPS[kind](toy, other))
    reader = reader if opened == "before" else StoreReader(toy.path, "features", toy.spec)
    for row in (64, 127):
        told = failure(reader.read_clip, row)
        assert "is damaged (another clip is in its place: checksum " in told
        assert told.endswith(
            f", in data.zarr/features/c/1/0/0/0/0/0; mend it with `fsar repair {toy.path}`"
        )
    assert 1 in examine(toy.path).jobs


def test_swapped_clips_of_one_shard_are_seen(root):
    toy = sealed(root / "store", "none")
    reader, data = StoreReader(toy.path, "features", toy.spec), bytearray(toy.shard(0).read_bytes())
    size = toy.values[0, 0].nbytes + SUM
    data[: 2 * size] = data[size : 2 * size] + data[:size]
    toy.shard(0).write_bytes(bytes(data))
    for row in (0, 1):
        assert "another clip is in its place" in failure(reader.read_clip, row)
    np.testing.assert_array_equal(reader.read_clip(2), toy.values[2, 0])


def test_a_swapped_compressed_shard_is_seen(root):
    """Of equal size by chance, here forced: the manifest's sizes are checked only when a store is opened."""
    toy = sealed(root / "store", "zstd")
    reader = StoreReader(toy.path, "features", toy.spec)
    swap(toy.shard(0), toy.shard(1))
    for row in (0, 100):
        assert "another clip is in its place" in failure(reader.read_clip, row)


def test_a_shard_without_a_recorded_clip_is_damaged(root, compression):
    """Zarr would read zeros where the index of a shard has no entry."""
    import google_crc32c

    toy = sealed(root / "store", compression)
    reader, data = StoreReader(toy.path, "features", toy.spec), toy.shard(0).read_bytes()
    index = np.frombuffer(data[-FILE_CLIPS * 16 - SUM : -SUM], "<u8").copy()
    index[10:12] = 2**64 - 1
    sound = google_crc32c.value(index.tobytes()).to_bytes(SUM, "little")
    toy.shard(0).write_bytes(data[: -FILE_CLIPS * 16 - SUM] + index.tobytes() + sound)
    assert "row 5 is damaged (its shard does not hold it)" in failure(lambda: reader.read_clip(5))
    np.testing.assert_array_equal(reader.read_clip(6), toy.values[6, 0])


def test_the_sums_of_clips_are_recorded_alike_everywhere(tmp_path, bucket, compression):
    pair = [sealed(root / "store", compression) for root in (tmp_path, bucket)]
    recorded = [toy.manifest["files"] for toy in pair]
    assert recorded[0] == recorded[1]
    assert [len(entry["clips"]) // 8 for entry in recorded[0].values()] == [64, 64, 64, 64, 22, 22]
    for key, entry in recorded[0].items():
        assert clip_sums((pair[0].path / key).read_bytes()) == entry["clips"]


@pytest.mark.parametrize("shard", [b"", b"short", bytes(2000)])
def test_a_shard_of_another_make_has_no_sums(shard):
    assert clip_sums(shard) is None


def without_sums(toy: Toy) -> None:
    """As it was sealed before the checksums of clips were recorded."""

    def plain(files: dict) -> dict:
        return {
            key: {name: entry[name] for name in ("bytes", "sha256")} for key, entry in files.items()
        }

    for job in range(toy.plan.jobs):
        receipt = read_receipt(toy.path, job)
        write_json(toy.receipt(job), receipt | {"files": plain(receipt["files"])})
    write_json(toy.path / "manifest.json", toy.manifest | {"files": plain(toy.manifest["files"])})


def test_a_store_of_before_sums_were_recorded_is_read_as_ever(root, compression):
    toy = sealed(root / "store", compression)
    content = toy.manifest["content"]
    without_sums(toy)
    reader = StoreReader(toy.path, "features", toy.spec)
    np.testing.assert_array_equal(reader.read(np.arange(150), 1), toy.values[:, 1])
    assert reader.content == content and examine(toy.path).reasons == []
    toy.shard(0).unlink()
    assert "its shard is missing" in failure(lambda: reader.read_clip(0))


def test_a_missing_shard_of_an_array_that_zarr_reads(tmp_path, monkeypatch):
    toy = sealed(tmp_path / "store", "zstd")
    monkeypatch.setattr(ShardFiles, "of", classmethod(lambda *of: None))
    reader = StoreReader(toy.path, "features", toy.spec)
    np.testing.assert_array_equal(reader.read_clip(70), toy.values[70, 0])
    toy.shard(1).unlink()
    assert not zarr.open(toy.path / "data.zarr", mode="r")["features"][70, 0].any()
    assert "row 70 is damaged (its shard is missing)" in failure(lambda: reader.read_clip(70))


LOOP = """
import sys
from fsar_core.errors import FsarError
from fsar_core.storage.places import place
from fsar_core.stores.reader import StoreReader
reader = StoreReader(place(sys.argv[1]), "features")
print("reading", flush=True)
try:
    while True:
        for row in range(reader.clips):
            reader.read_clip(row, row % 2)
except FsarError as error:
    sys.exit(str(error))
"""


def test_a_loop_over_clips_stops_when_a_store_is_removed_behind_its_back(tmp_path):
    """By `rm -r`, which knows nothing of locks."""
    toy = sealed(tmp_path / "store", "none")
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, str(toy.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "reading\n"
    shutil.rmtree(toy.path / "data.zarr")
    _, errors = process.communicate(timeout=60)
    assert (
        process.returncode == 1
        and "is damaged (its shard is missing)" in errors
        and errors.count("\n") == 1
    )
