"""Stores in a bucket: the same bytes as in a folder, read by ranges; nothing that was interrupted passes for whole."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import textwrap

import boto3
import google_crc32c
import numpy as np
import pytest
import zarr

from fsar_core.errors import FsarError
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.provenance import write_json
from fsar_core.stores.layout import FILE_CLIPS
from fsar_core.stores.manifest import unfinished_jobs, unfinished_mark
from fsar_core.stores.objects import CLIPS, SummedStore
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.verify import examine, remove_bad
from tests.stores.conftest import Toy, planned


@pytest.fixture
def toy(bucket) -> Toy:
    return planned(bucket / "stores" / "features" / "toy")


@pytest.fixture
def sealed(toy) -> Toy:
    toy.fill().seal()
    return toy


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def _objects(toy: Toy) -> dict[str, bytes]:
    """Everything but the receipts, which tell how long it took."""
    held = (one.path for one in toy.path.objects())
    return {
        path.below(toy.path): path.read_bytes() for path in held if path.parent.name != "receipts"
    }


def _flip(path: ObjectPath, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_the_same_bytes_as_in_a_folder(bucket, tmp_path, compression):
    pair = [
        planned(root / "store", broken=(3,), compression=compression) for root in (bucket, tmp_path)
    ]
    for toy in pair:
        toy.fill().seal(max_failures=0.1)
    there, here = pair
    assert there.manifest == here.manifest and len(here.manifest["files"]) == 5
    files = (
        path
        for path in here.path.rglob("*")
        if path.is_file() and path.parent.name not in ("receipts", "locks")
    )
    assert _objects(there) == {
        path.relative_to(here.path).as_posix(): path.read_bytes() for path in files
    }
    assert [there.write(job)["files"] for job in range(3)] == [
        here.write(job)["files"] for job in range(3)
    ]


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("threads", [1, 4])
def test_what_was_written_is_read(bucket, compression, threads):
    toy = planned(bucket / "store", broken=(7,), compression=compression)
    toy.values[64:128, 1] = 0  # a shard of nothing but zeros is no object
    toy.values[9] = 0  # nor is such a clip a chunk, where its shard is
    toy.fill().seal(max_failures=0.1)
    assert not toy.shard(1, view=1).exists()
    reader = StoreReader(toy.path, "features", toy.spec)
    rows = np.random.default_rng(0).permutation([row for row in range(150) if row != 7])
    rows = np.concatenate([rows, rows[:5]])
    views = rows % 2
    assert np.array_equal(reader.read(rows, views, threads), toy.values[rows, views])
    assert np.array_equal(
        reader.read(np.arange(64, 128), 1, threads), np.zeros_like(toy.values[64:128, 1])
    )
    assert np.array_equal(reader.read_clip(149, 1), toy.values[149, 1])
    assert "row 7 failed when the store was built" in _failure(
        lambda: reader.read(np.array([6, 7]))
    )
    assert "no row 150 view 0" in _failure(lambda: reader.read(np.array([150])))


def test_clips_of_a_shard_come_together(sealed, monkeypatch):
    """An index once a shard, and neighbours by one request for every CLIPS of them."""
    asked = []
    for name in ("last", "ranges", "read_bytes"):
        original = getattr(ObjectPath, name)
        monkeypatch.setattr(
            ObjectPath,
            name,
            lambda self, *of, n=name, call=original: asked.append(n) or call(self, *of),
        )
    reader = StoreReader(sealed.path, "features")
    asked.clear()
    reader.read(np.arange(2 * FILE_CLIPS))
    assert sorted(asked) == ["last"] * 2 + ["ranges"] * (2 * FILE_CLIPS // CLIPS)
    asked.clear()
    reader.read(np.array([3, 70, 5]))
    assert asked == ["ranges"] * 2


def test_a_shard_that_was_mended_under_a_reader_is_read_again(bucket):
    """Its index is kept in memory: where that no longer fits, it is read anew."""
    toy = planned(bucket / "store")
    toy.fill().seal()
    reader, shard = StoreReader(toy.path, "features"), toy.shard(0)
    whole = shard.read_bytes()
    reader.read_clip(0)
    index = np.frombuffer(whole[-FILE_CLIPS * 16 - 4 : -4], "<u8").copy()
    index[::2] += 8
    sound = google_crc32c.value(index.tobytes()).to_bytes(4, "little")
    shard.write_bytes(b"8 bytes " + whole[: -FILE_CLIPS * 16 - 4] + index.tobytes() + sound)
    assert np.array_equal(reader.read_clip(5), toy.values[5, 0])


def test_a_shard_of_other_values_is_refused(bucket):
    one, other = (planned(bucket / name) for name in ("one", "other"))
    other.values[:64] = np.random.default_rng(1).normal(size=other.values[:64].shape)
    for toy in (one, other):
        toy.fill().seal()
    reader = StoreReader(one.path, "features")
    assert np.array_equal(reader.read_clip(5), one.values[5, 0])
    one.shard(0).write_bytes(other.shard(0).read_bytes())
    assert "another clip is in its place" in _failure(lambda: reader.read_clip(5))


DAMAGE = {
    "a chunk": lambda toy: _flip(toy.shard(1), 100),
    "the index": lambda toy: _flip(toy.shard(1), -20),
    "no shard at all": lambda toy: toy.shard(1).write_bytes(b"short"),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_damage_is_told_with_the_command_that_mends_it(bucket, kind, compression):
    toy = planned(bucket / "store", compression=compression)
    toy.fill().seal()
    reader = StoreReader(toy.path, "features")
    DAMAGE[kind](toy)
    told = _failure(lambda: reader.read(np.arange(64, 128)))
    assert (
        told.startswith(f"{toy.path}: array 'features' row ")
        and "data.zarr/features/c/1/0/0/0/0/0" in told
    )
    assert told.endswith(f"; mend it with `fsar repair {toy.path}`")
    assert np.array_equal(reader.read(np.arange(64)), toy.values[:64, 0])
    found = examine(toy.path)
    assert list(found.jobs) == [1] and found.jobs[1].startswith("data.zarr/features/c/1/0")


def test_a_reader_refuses_what_is_not_as_it_was_sealed(sealed):
    sealed.shard(2).write_bytes(sealed.shard(2).read_bytes()[:-1])
    assert "the store is damaged: mend it" in _failure(lambda: StoreReader(sealed.path, "features"))
    sealed.shard(2).unlink()
    assert "c/2/0/0/0/0/0: missing, expected" in _failure(
        lambda: StoreReader(sealed.path, "features")
    )
    sealed.fill().seal()
    _flip(sealed.path / "data.zarr" / "features" / "zarr.json", 30)
    assert "zarr.json: damaged" in _failure(lambda: StoreReader(sealed.path, "features"))
    (sealed.path / "manifest.json").unlink()
    assert "the store is not complete" in _failure(lambda: StoreReader(sealed.path, "features"))


def test_bad_jobs_alone_are_made_again(sealed):
    before = _objects(sealed)
    changed = {
        one.path.below(sealed.path): one.path.head()["e_tag"] for one in sealed.path.objects()
    }
    _flip(sealed.shard(1), 100)
    done = remove_bad(sealed.path, examine(sealed.path))
    shards = [f"removed data.zarr/features/c/1/{view}/0/0/0/0" for view in (0, 1)]
    assert done == ["removed manifest.json", "removed receipts/1.json", *shards]
    assert set(changed) - {one.path.below(sealed.path) for one in sealed.path.objects()} == {
        line.removeprefix("removed ") for line in done
    }
    sealed.write(1)
    sealed.seal()
    assert examine(sealed.path).reasons == [] and _objects(sealed) == before


def test_a_plan_that_is_mended_is_no_newer_than_what_was_made_by_it(sealed):
    before = _objects(sealed)
    (sealed.path / "plan.json").write_bytes(b"{}")
    assert remove_bad(sealed.path, examine(sealed.path)) == [
        "wrote plan.json as the manifest has it"
    ]
    assert _objects(sealed) == before
    times = [
        (sealed.path / name).head()["last_modified"]
        for name in ("plan.json", "receipts/2.json", "manifest.json")
    ]
    assert times == sorted(times)


def test_a_job_is_finished_only_where_its_inputs_are_the_same(toy):
    receipt = toy.write(1, inputs={"files": "a"})
    assert toy.finished(1, {"files": "a"}) == receipt
    assert toy.finished(1, {"files": "b"}) is None
    _flip(toy.shard(1), 100)
    assert toy.finished(1, {"files": "a"}) is None
    assert unfinished_jobs(toy.path) == []
    toy.write(1, inputs={"files": "a"})
    unfinished_mark(toy.path, 1).write_bytes(b"")
    assert unfinished_jobs(toy.path) == [1] and toy.finished(1, {"files": "a"}) is None


def _killed(toy: Toy, tmp_path, job: int, after: int) -> None:
    """A process that writes a job of two shards of other values, and is killed when it has put `after` of them."""
    np.save(tmp_path / "values.npy", toy.values + 1)
    script = f"""
        import sys, time
        import numpy as np
        from fsar_core.storage.places import place
        from fsar_core.stores.layout import read_plan
        from fsar_core.stores.objects import SummedStore
        from fsar_core.stores.writer import write_job
        from tests.builders import array_blocks
        store, count, put = place({str(toy.path)!r}), 0, SummedStore.set
        async def slow(self, key, value):
            global count
            if count == {after}:
                print("now", flush=True)
                time.sleep(60)
            count += 1
            await put(self, key, value)
        SummedStore.set = slow
        blocks = array_blocks(np.load({str(tmp_path / "values.npy")!r}), read_plan(store).rows({job}))
        write_job(store, {job}, blocks, store / "receipts/{job}.json")
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("after", [0, 1])
def test_a_job_that_is_killed_between_shards_leaves_nothing_that_passes_for_whole(
    toy, tmp_path, after
):
    toy.write(0)
    toy.write(2)
    _killed(toy, tmp_path, 1, after)
    assert [toy.shard(1, view).exists() for view in (0, 1)] == [after > 0, False]
    assert not toy.receipt(1).exists() and examine(toy.path).missing == [1]
    assert "job 1 of this store is not done" in _failure(toy.seal)
    assert "the store is not complete" in _failure(lambda: StoreReader(toy.path, "features"))
    toy.write(1)
    toy.seal()
    assert np.array_equal(
        StoreReader(toy.path, "features").read(np.arange(150), 1), toy.values[:, 1]
    )


def test_a_job_that_is_killed_while_it_is_made_again_unseals_first(sealed, tmp_path):
    sealed.receipt(1).unlink()
    _killed(sealed, tmp_path, 1, 1)
    assert not (sealed.path / "manifest.json").exists()
    assert "the store is not complete" in _failure(lambda: StoreReader(sealed.path, "features"))
    sealed.write(1)
    sealed.seal()
    assert np.array_equal(
        StoreReader(sealed.path, "features").read(np.arange(150)), sealed.values[:, 0]
    )


def test_an_upload_in_parts_that_never_ended_is_no_object(toy):
    toy.write(0)
    toy.write(2)
    client = boto3.client("s3")
    where = dict(Bucket=toy.path.bucket, Key=toy.shard(1).key)
    begun = client.create_multipart_upload(**where)["UploadId"]
    client.upload_part(**where, UploadId=begun, PartNumber=1, Body=b"x" * 6 * 2**20)
    assert len(client.list_multipart_uploads(Bucket=toy.path.bucket)["Uploads"]) == 1
    assert not toy.shard(1).exists() and examine(toy.path).missing == [1]
    assert "job 1 of this store is not done" in _failure(toy.seal)
    toy.write(1)
    toy.seal()
    assert examine(toy.path).reasons == []


def test_large_shards_are_put_in_parts_and_summed_up_as_a_whole(bucket):
    path, sums = bucket / "data.zarr", {}
    array = np.random.default_rng(0).integers(0, 255, 11 * 2**20, np.uint8)
    zarr.create_array(
        SummedStore(path, sums), name="a", data=array, chunks=array.shape, compressors=None
    )
    shard = path / "a" / "c" / "0"
    assert shard.head()["e_tag"].endswith('-3"')  # of three parts
    assert shard.read_bytes() == array.tobytes()
    assert sums == {
        "data.zarr/a/c/0": {"bytes": array.size, "sha256": hashlib.sha256(array).hexdigest()}
    }


def test_values_that_do_not_fit_are_refused_before_a_receipt(toy):
    values = toy.values.copy()
    values[70] = np.inf
    assert "row 70: not finite" in _failure(lambda: toy.write(1, values))
    assert not toy.receipt(1).exists()


def test_a_receipt_of_other_rows_is_refused(toy):
    toy.fill()
    write_json(toy.receipt(1), {"rows": [0, 64], "files": {}, "failures": []})
    assert "rows [0, 64], expected [64, 128]" in _failure(toy.seal)
