"""Reading: the values that were written, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from fsar_core.errors import FsarError
from fsar_core.specs import BackboneSpec
from fsar_core.storage.provenance import write_json
from fsar_core.stores.layout import FILE_CLIPS
from fsar_core.stores.reader import StoreReader
from tests.builders import toy_feature_spec, toy_feature_store, toy_frame_spec, toy_index


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_was_written_is_read(sealed):
    reader = StoreReader(sealed.path, "features", sealed.spec)
    assert (reader.clips, reader.views, list(reader.clip_shape), reader.dtype) == (
        150,
        2,
        [2, 4, 2, 2],
        np.float16,
    )
    assert reader.clip_bytes == 2 * 4 * 2 * 2 * 2 and reader.failed == frozenset()
    rows = np.array([149, 0, 63, 64, 64, 127, 128])
    for view in (0, 1):
        found = reader.read(rows, view)
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, sealed.values[rows, view])
        np.testing.assert_array_equal(reader.read(rows, view, threads=4), found)
        np.testing.assert_array_equal(reader.read_clip(64, view), sealed.values[64, view])
    assert reader.read(np.array([], int)).shape == (0, 2, 4, 2, 2)


def test_the_store_is_plain_zarr(sealed):
    group = zarr.open(sealed.path / "data.zarr", mode="r")
    np.testing.assert_array_equal(group["features"][:], sealed.values)
    assert group.metadata.zarr_format == 3


def test_equal_stores_have_equal_content(tmp_path):
    index = toy_index(clips=2)
    stores = [
        toy_feature_store(tmp_path / str(i), index, seed=seed) for i, seed in enumerate((0, 0, 1))
    ]
    contents = [StoreReader(path, "features", spec).content for path, spec in stores]
    assert contents[0] == contents[1] != contents[2]


def test_an_unsealed_store_is_refused(toy):
    assert _failure(lambda: StoreReader(toy.fill().path, "features", toy.spec)) == (
        f"{toy.path}/manifest.json: missing; the store is not complete; run snakemake again to finish it"
    )


OTHERS = [
    (toy_feature_spec(frames=2, views=2, cut="layer3"), "cut: expected 'layer3', found 'layer4'"),
    (
        toy_feature_spec(frames=2, views=2, dtype="float32"),
        "dtype: expected 'float32', found 'float16'",
    ),
    (toy_feature_spec(frames=3, views=2), "frames.count: expected 3, found 2"),
    (toy_feature_spec(frames=2, views=2, seed=9), "frames.seed: expected 9, found 0"),
    (
        toy_feature_spec(
            backbone=BackboneSpec(name="demo_cnn", weights="sha256:12", version=1),
            frames=2,
            views=2,
        ),
        "backbone.weights: expected 'sha256:12', found 'trained:toy'",
    ),
    (
        toy_feature_spec(frames=2, views=2).model_copy(
            update={"frames": toy_frame_spec(count=2, views=2, size=64)}
        ),
        "frames.size: expected 64, found 32",
    ),
    (toy_frame_spec(count=2, views=2), "augmentation: expected 'absent', found None"),
]


@pytest.mark.parametrize(("spec", "words"), OTHERS)
def test_another_spec_is_refused_by_the_field_that_differs(sealed, spec, words):
    message = _failure(lambda: StoreReader(sealed.path, "features", spec))
    assert message.startswith(f"{sealed.path}: built by another spec: {words}")
    assert message.endswith("build the store of this spec with snakemake")


def test_a_field_that_is_younger_than_the_store_has_its_default(sealed):
    spec = {
        key: of
        for key, of in sealed.manifest["spec"].items()
        if key not in ("augmentation", "dtype")
    }
    write_json(sealed.path / "manifest.json", sealed.manifest | {"spec": spec})
    assert StoreReader(sealed.path, "features", sealed.spec).clips == 150
    other = toy_feature_spec(frames=2, views=2, dtype="float32")
    assert "dtype: expected 'float32', found 'float16'" in _failure(
        lambda: StoreReader(sealed.path, "features", other)
    )


def test_failed_rows_are_never_served(make_toy):
    toy = make_toy(broken=(2, 70)).fill()
    toy.seal(max_failures=0.1)
    reader = StoreReader(toy.path, "features", toy.spec)
    assert reader.failed == frozenset({2, 70})
    for call in (
        lambda: reader.read_clip(70),
        lambda: reader.read(np.array([1, 70, 3]), threads=2),
    ):
        assert (
            _failure(call)
            == f"{toy.path}: row 70 failed when the store was built and cannot be read"
        )
    np.testing.assert_array_equal(reader.read(np.array([1, 3])), toy.values[[1, 3], 0])


@pytest.mark.parametrize(("row", "view"), [(150, 0), (-1, 0), (0, 2), (0, -1)])
def test_rows_and_views_that_do_not_exist(sealed, row, view):
    message = _failure(lambda: StoreReader(sealed.path, "features").read_clip(row, view))
    assert message.startswith(
        f"{sealed.path}: no row {row} view {view}; it holds the rows 0..149 and the views 0..1"
    )


def test_a_truncated_shard_file_is_refused(sealed):
    shard = sealed.shard(1)
    data = shard.read_bytes()
    shard.write_bytes(data[:-10])
    message = _failure(lambda: StoreReader(sealed.path, "features", sealed.spec))
    assert message.startswith(
        f"{shard}: {len(data) - 10} bytes, expected {len(data)} bytes; the store is damaged"
    )
    assert message.endswith(f"mend it with `fsar repair {sealed.path}`")
    shard.unlink()
    assert f"{shard}: missing, expected {len(data)} bytes" in _failure(
        lambda: StoreReader(sealed.path, "features")
    )


def test_corrupted_bytes_are_found_by_their_checksum(sealed):
    shard = sealed.shard(1)
    data = bytearray(shard.read_bytes())
    data[20] ^= 1  # inside the first chunk of this file, row 64
    shard.write_bytes(data)
    reader = StoreReader(sealed.path, "features", sealed.spec)
    message = _failure(lambda: reader.read_clip(64))
    assert message.startswith(
        f"{sealed.path}: array 'features' row 64 is damaged (Stored and computed checksum do not match"
    )
    assert message.endswith(
        f", in data.zarr/features/c/1/0/0/0/0/0; mend it with `fsar repair {sealed.path}`"
    )
    # The other clips of the file are sound.
    np.testing.assert_array_equal(reader.read(np.arange(65, 128)), sealed.values[65:128, 0])


def test_every_flipped_byte_is_found(sealed):
    """No byte of a shard file can change without the reader noticing it in one of the file's clips."""
    shard = sealed.shard(2)
    data = shard.read_bytes()
    reader = StoreReader(sealed.path, "features", sealed.spec)
    rows = np.arange(2 * FILE_CLIPS, 150)
    for position in np.linspace(0, len(data) - 1, 60).astype(int):
        shard.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
        with pytest.raises(FsarError, match="is damaged"):
            reader.read(rows)
    shard.write_bytes(data)
    np.testing.assert_array_equal(reader.read(rows), sealed.values[rows, 0])


@pytest.mark.parametrize("file", ["data.zarr/zarr.json", "data.zarr/features/zarr.json"])
@pytest.mark.parametrize("text", [None, '{"zarr_for'])
@pytest.mark.parametrize("sums", [True, False], ids=["sums", "of before there were sums"])
def test_damaged_metadata_is_one_line(sealed, file, text, sums):
    if not sums:
        write_json(
            sealed.path / "manifest.json",
            {k: v for k, v in sealed.manifest.items() if k != "metadata"},
        )
    (sealed.path / file).unlink()
    if text is not None:
        (sealed.path / file).write_text(text)
    message = _failure(lambda: StoreReader(sealed.path, "features", sealed.spec))
    found = "missing" if text is None else "damaged (its bytes are not those that were sealed)"
    begin = (
        f"{sealed.path}/{file}: {found}; "
        if sums
        else f"{sealed.path}/data.zarr: cannot be opened ("
    )
    assert message.startswith(begin) and message.endswith(
        f"mend it with `fsar repair {sealed.path}`"
    )


def test_metadata_that_reads_but_says_something_else(sealed):
    """A fill value of 1 makes ones of clips that are all zero and so have no file."""
    path = sealed.path / "data.zarr/features/zarr.json"
    text = path.read_text()
    path.write_text(text.replace('"fill_value": 0.0', '"fill_value": 1.0'))
    assert path.read_text() != text
    assert _failure(lambda: StoreReader(sealed.path, "features", sealed.spec)).startswith(
        f"{path}: damaged (its bytes are not those that were sealed); "
    )


def test_a_damaged_manifest(sealed):
    (sealed.path / "manifest.json").write_text("{")
    assert "manifest.json: damaged (no JSON)" in _failure(
        lambda: StoreReader(sealed.path, "features")
    )
