"""Single clips out of shard files: what Zarr's own reader gives, and every damage is seen."""

from __future__ import annotations

import os

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from fsar_core.errors import FsarError
from fsar_core.stores.layout import FILE_CLIPS
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.shards import ShardFiles
from tests.builders import toy_feature_spec


@pytest.fixture(params=["zstd", "none"])
def stored(request, make_toy):
    """A sealed store, compressed or not."""
    toy = make_toy(request.param, compression=request.param).fill()
    toy.seal()
    return toy


def shards_of(toy) -> ShardFiles:
    array = zarr.open(toy.path / "data.zarr", mode="r")["features"]
    found = ShardFiles.of(toy.path, "features", array)
    assert found is not None
    return found


def taken(shards: ShardFiles, row: int, view: int = 0) -> np.ndarray:
    out = np.full(shards.clip_shape, 7, shards.dtype)
    shards.read(row, view, out)
    return out


def test_it_reads_what_zarr_reads(stored):
    array, shards = zarr.open(stored.path / "data.zarr", mode="r")["features"], shards_of(stored)
    for row in (0, 1, FILE_CLIPS - 1, FILE_CLIPS, 149):
        for view in (0, 1):
            np.testing.assert_array_equal(taken(shards, row, view), array[row, view])
            np.testing.assert_array_equal(taken(shards, row, view), stored.values[row, view])


def test_what_was_never_written_is_zero(make_toy, stored):
    """A shard without a file, and a clip that its file does not have."""
    toy = make_toy("part", compression=stored.spec.compression)
    zarr.open(toy.path / "data.zarr", mode="r+")["features"][70, 0] = stored.values[
        70, 0
    ]  # the only one of its file
    shards = shards_of(toy)
    np.testing.assert_array_equal(taken(shards, 70), stored.values[70, 0])
    assert not taken(shards, 71).any() and not taken(shards, 3).any()


def test_only_one_of_the_two_is_compressed(make_toy):
    sizes = {}
    for compression in ("zstd", "none"):
        toy = make_toy(compression, compression=compression)
        toy.write(0, np.zeros_like(toy.values) + np.float16(1))
        sizes[compression] = toy.shard(0).stat().st_size
    chunk = 2 * 4 * 2 * 2 * 2
    assert sizes["none"] == FILE_CLIPS * (chunk + 4) + FILE_CLIPS * 16 + 4
    assert sizes["zstd"] < sizes["none"] - FILE_CLIPS * chunk // 2


def test_the_default_leaves_keys_what_they_were():
    plain = toy_feature_spec()
    assert (
        "compression" not in plain.model_dump()
        and toy_feature_spec(compression="zstd").key == plain.key
    )
    assert toy_feature_spec(compression="none").key != plain.key
    assert toy_feature_spec(compression="none").model_dump()["compression"] == "none"


@pytest.mark.parametrize("again", [False, True], ids=["first reading", "read before"])
def test_every_changed_byte_is_seen(stored, again):
    shard, reader = stored.shard(2), StoreReader(stored.path, "features", stored.spec)
    data, rows = shard.read_bytes(), np.arange(2 * FILE_CLIPS, 150)
    for position in np.linspace(0, len(data) - 1, 40).astype(int):
        if again:
            np.testing.assert_array_equal(reader.read(rows), stored.values[rows, 0])
        shard.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(FsarError, match="is damaged"):
            reader.read(rows)
        shard.write_bytes(data)


@pytest.mark.parametrize("kept", [0, 3, 1000, -1])
def test_a_shorter_file_is_seen(stored, kept):
    shards, shard = shards_of(stored), stored.shard(0)
    shard.write_bytes(shard.read_bytes()[:kept])
    with pytest.raises((ValueError, OSError)):
        taken(shards, 63)


def test_an_index_that_leads_elsewhere_is_seen(stored):
    """Another place of the same file, with a sound checksum of the index: the chunk's own says no, or its size does."""
    import google_crc32c

    shards, shard = shards_of(stored), stored.shard(0)
    data = bytearray(shard.read_bytes())
    for offset, size in ((1, 40), (0, 2), (2**63, 40), (len(data) - 10, 1000)):
        index = np.frombuffer(bytes(data[-FILE_CLIPS * 16 - 4 : -4]), "<u8").copy()
        index[10], index[11] = offset, size
        sound = google_crc32c.value(index.tobytes()).to_bytes(4, "little")
        shard.write_bytes(bytes(data[: -FILE_CLIPS * 16 - 4]) + index.tobytes() + sound)
        with pytest.raises((ValueError, OSError)):
            taken(shards, 5)


def test_a_raw_clip_is_checked_again_when_its_file_changed(make_toy, monkeypatch):
    toy = make_toy(compression="none").fill()
    toy.seal()
    shards, checked = shards_of(toy), []
    from fsar_core.stores import shards as module

    original = module.check_sum
    monkeypatch.setattr(
        module, "check_sum", lambda *of: checked.append(of[0].nbytes) or original(*of)
    )
    clip = toy.values[0, 0].nbytes
    for _ in range(3):
        taken(shards, 5)
    assert checked.count(clip) == 1
    os.utime(toy.shard(0), ns=(1, 1))
    taken(shards, 5)
    assert checked.count(clip) == 2


OTHERS = {
    "another codec": dict(shards=(FILE_CLIPS, 1, 3), compressors=[BloscCodec(), Crc32cCodec()]),
    "no checksum": dict(shards=(FILE_CLIPS, 1, 3), compressors=[ZstdCodec(level=1)]),
    "a codec more": dict(
        shards=(FILE_CLIPS, 1, 3), compressors=[ZstdCodec(), ZstdCodec(), Crc32cCodec()]
    ),
    "smaller shards": dict(shards=(8, 1, 3), compressors=[ZstdCodec(level=1), Crc32cCodec()]),
    "no shards": dict(compressors=[ZstdCodec(level=1), Crc32cCodec()]),
    "another filling": dict(
        shards=(FILE_CLIPS, 1, 3), compressors=[ZstdCodec(level=1), Crc32cCodec()], fill_value=1
    ),
    "parts of a clip": dict(
        chunks=(1, 1, 1), shards=(FILE_CLIPS, 1, 3), compressors=[ZstdCodec(level=1), Crc32cCodec()]
    ),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_arrays_of_another_make_are_left_to_zarr(tmp_path, make):
    usual = dict(shape=(130, 1, 3), dtype="float16", chunks=(1, 1, 3), fill_value=0)
    array = zarr.create_array(tmp_path / "x.zarr", name="features", **(usual | make))
    assert ShardFiles.of(tmp_path, "features", array) is None


def test_a_store_of_another_make_is_read_by_zarr(stored, monkeypatch):
    monkeypatch.setattr(ShardFiles, "of", classmethod(lambda *of: None))
    reader = StoreReader(stored.path, "features", stored.spec)
    rows = np.array([149, 0, 64])
    np.testing.assert_array_equal(reader.read(rows, 1, threads=3), stored.values[rows, 1])
    np.testing.assert_array_equal(reader.read_clip(64), stored.values[64, 0])
