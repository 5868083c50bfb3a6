"""Verifying and mending: whatever byte is bad is found, and what is taken away is all that has to be made again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from fsar_core.errors import FsarError
from fsar_core.storage.provenance import write_json
from fsar_core.stores.access import InUse, shared
from fsar_core.stores.manifest import read_receipt
from fsar_core.stores.verify import examine, remove_bad


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def _files(store: Path) -> dict[str, bytes]:
    """All files of a store but the locks, and the receipts, which tell how long a job took."""
    paths = (
        path
        for path in store.rglob("*")
        if path.is_file() and path.parent.name not in ("receipts", "locks")
    )
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in paths}


def _times(store: Path) -> dict[str, int]:
    files = (path for path in store.rglob("*") if path.is_file() and path.parent.name != "locks")
    return {path.relative_to(store).as_posix(): path.stat().st_mtime_ns for path in files}


def test_a_sound_store(sealed):
    found = examine(sealed.path)
    assert (
        found.reasons == []
        and found.sealed
        and found.missing == []
        and found.planned == sealed.plan
    )


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_flipped_byte_names_its_job(sealed, position):
    _flip(sealed.shard(1, view=1), position)
    assert examine(sealed.path).reasons == [
        "job 1: data.zarr/features/c/1/1/0/0/0/0: bytes differ from the receipt's sha256"
    ]


def test_every_damaged_job_is_named(sealed):
    _flip(sealed.shard(2), 5)
    sealed.shard(0).unlink()
    assert examine(sealed.path).jobs == {
        0: "data.zarr/features/c/0/0/0/0/0/0: missing",
        2: "data.zarr/features/c/2/0/0/0/0/0: bytes differ from the receipt's sha256",
    }


def test_every_changed_byte_of_a_small_file_is_found(sealed):
    files = [
        "plan.json",
        "manifest.json",
        "receipts/1.json",
        "data.zarr/zarr.json",
        "data.zarr/features/zarr.json",
    ]
    for name in files:
        path = sealed.path / name
        whole = path.read_bytes()
        harmless = 0
        for position in range(0, len(whole), 7):
            path.write_bytes(
                whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :]
            )
            reasons = examine(sealed.path).reasons
            # Blanks of a JSON file may become others, and the key of a sum that of nothing.
            harmless += not reasons
            assert not reasons or all(name in reason for reason in reasons)
        path.write_bytes(whole)
        assert harmless <= 1 + len(whole) // 70, name


def test_an_unfinished_store(toy):
    toy.write(0)
    found = examine(toy.path)
    assert (found.reasons, found.sealed, found.missing) == ([], False, [1, 2])
    _flip(toy.shard(0), 9)
    assert list(examine(toy.path).jobs) == [0]


def test_no_store(tmp_path):
    with pytest.raises(FsarError, match="no store; expected a folder with plan"):
        examine(tmp_path)


def test_a_newer_store_is_not_called_damaged(sealed):
    write_json(sealed.path / "manifest.json", sealed.manifest | {"layout": 99})
    with pytest.raises(FsarError, match="knows layouts up to 1"):
        examine(sealed.path)


DAMAGE = {
    "shard": lambda toy: _flip(toy.shard(1), 30),
    "shard missing": lambda toy: toy.shard(1).unlink(),
    "receipt": lambda toy: _flip(toy.receipt(1), 30),
    "receipt missing": lambda toy: toy.receipt(1).unlink(),
    "receipt of other files": lambda toy: write_json(
        toy.receipt(1), read_receipt(toy.path, 1) | {"files": read_receipt(toy.path, 0)["files"]}
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_one_bad_job_is_made_again_alone(sealed, kind):
    before, times = _files(sealed.path), _times(sealed.path)
    DAMAGE[kind](sealed)
    found = examine(sealed.path)
    assert list(found.jobs) == [1] and len(found.reasons) == 1
    remove_bad(sealed.path, found)
    gone = {
        "manifest.json",
        "receipts/1.json",
        *(f"data.zarr/features/c/1/{view}/0/0/0/0" for view in (0, 1)),
    }
    assert set(times) - set(_times(sealed.path)) == gone
    sealed.write(1)
    sealed.seal()
    assert examine(sealed.path).reasons == [] and _files(sealed.path) == before
    kept = set(times) - gone
    assert {name: time for name, time in _times(sealed.path).items() if name in kept} == {
        n: times[n] for n in kept
    }


def test_a_bad_manifest_costs_no_job(sealed):
    before = _files(sealed.path)
    _flip(sealed.path / "manifest.json", 40)
    found = examine(sealed.path)
    assert found.jobs == {} and found.manifest and found.planned == sealed.plan
    assert remove_bad(sealed.path, found) == ["removed manifest.json"]
    sealed.seal()
    assert _files(sealed.path) == before


@pytest.mark.parametrize("missing", [True, False])
def test_a_bad_plan_is_written_as_the_manifest_has_it(sealed, missing):
    before, path = _files(sealed.path), sealed.path / "plan.json"
    path.unlink() if missing else _flip(path, 25)
    found = examine(sealed.path)
    assert (found.plan, found.jobs) == ("missing" if missing else found.plan, {}) and found.plan
    assert remove_bad(sealed.path, found) == ["wrote plan.json as the manifest has it"]
    assert _files(sealed.path) == before and examine(sealed.path).reasons == []
    # Snakemake compares times: a plan newer than its receipts would have every job made again.
    assert path.stat().st_mtime_ns <= min(
        sealed.receipt(job).stat().st_mtime_ns for job in range(3)
    )


def test_another_plan_than_the_sealed_one(sealed):
    write_json(
        sealed.path / "plan.json",
        json.loads((sealed.path / "plan.json").read_text()) | {"clips": 151},
    )
    found = examine(sealed.path)
    assert (
        found.reasons == ["plan.json: not the plan that was sealed"]
        and found.planned == sealed.plan
    )


def test_a_bad_plan_without_a_seal_is_made_again(toy):
    toy.write(0)
    _flip(toy.path / "plan.json", 25)
    found = examine(toy.path)
    assert found.planned is None and len(found.reasons) == 1
    assert remove_bad(toy.path, found) == ["removed plan.json"]


@pytest.mark.parametrize("file", ["data.zarr/zarr.json", "data.zarr/features/zarr.json"])
@pytest.mark.parametrize("damage", ["flip", "missing"])
def test_bad_metadata_is_written_again_around_the_shards(sealed, file, damage):
    before, times = _files(sealed.path), _times(sealed.path)
    (sealed.path / file).unlink() if damage == "missing" else _flip(sealed.path / file, 20)
    found = examine(sealed.path)
    assert list(found.metadata) == [file] and found.jobs == {}
    remove_bad(sealed.path, found)
    assert _files(sealed.path) == before and examine(sealed.path).reasons == []
    assert {n: t for n, t in _times(sealed.path).items() if n != file} == {
        n: t for n, t in times.items() if n != file
    }


def test_metadata_that_cannot_be_written_as_it_was_is_sealed_anew(sealed):
    """As after an update of Zarr that words its files otherwise."""
    path = sealed.path / "data.zarr/zarr.json"
    sums = {**sealed.manifest["metadata"], "data.zarr/zarr.json": "0" * 64}
    write_json(sealed.path / "manifest.json", sealed.manifest | {"metadata": sums})
    remove_bad(sealed.path, examine(sealed.path))
    assert path.exists() and not (sealed.path / "manifest.json").exists()
    sealed.seal()
    assert examine(sealed.path).reasons == []


def test_a_store_of_before_there_were_sums(sealed):
    """Without the sums of today a bad shard is still found by its receipt, bad metadata by its shape."""
    for path in (
        sealed.path / "manifest.json",
        sealed.path / "plan.json",
        *map(sealed.receipt, range(3)),
    ):
        value = json.loads(path.read_text())
        dropped = {"sha256", "metadata"} | (
            {"shapes", "dtypes", "clips_per_job"} if path.name == "manifest.json" else set()
        )
        path.write_text(json.dumps({key: of for key, of in value.items() if key not in dropped}))
    assert examine(sealed.path).reasons == []
    _flip(sealed.shard(1), 30)
    assert list(examine(sealed.path).jobs) == [1]
    meta = sealed.path / "data.zarr/features/zarr.json"
    text = meta.read_text()
    meta.write_text(text.replace("150", "151"))
    assert list(examine(sealed.path).metadata) == ["data.zarr/features/zarr.json"]
    meta.write_text("{")
    assert set(examine(sealed.path).metadata) == {
        "data.zarr/zarr.json",
        "data.zarr/features/zarr.json",
    }


def test_an_old_store_without_a_sound_plan_is_planned_and_sealed_anew(sealed):
    """Its manifest does not say how the store is arranged, so both go; receipts and shards stay."""
    old = {
        key: of
        for key, of in sealed.manifest.items()
        if key not in ("shapes", "dtypes", "clips_per_job")
    }
    write_json(sealed.path / "manifest.json", old)
    _flip(sealed.path / "plan.json", 25)
    found, before = examine(sealed.path), _times(sealed.path)
    assert found.planned is None and found.plan and not found.manifest and found.jobs == {}
    assert remove_bad(sealed.path, found) == ["removed manifest.json", "removed plan.json"]
    assert before.keys() - _times(sealed.path).keys() == {"manifest.json", "plan.json"}


def test_a_store_is_unsealed_only_where_it_has_to_be(sealed):
    """What readers get stays sealed while the plan or Zarr's metadata are written anew."""
    before = (sealed.path / "manifest.json").stat().st_mtime_ns
    for file in ("plan.json", "data.zarr/features/zarr.json"):
        _flip(sealed.path / file, 25)
        assert "removed manifest.json" not in remove_bad(sealed.path, examine(sealed.path))
    assert (sealed.path / "manifest.json").stat().st_mtime_ns == before and examine(
        sealed.path
    ).reasons == []


@pytest.mark.parametrize("kind", DAMAGE)
def test_nothing_is_removed_while_somebody_reads(sealed, kind):
    DAMAGE[kind](sealed)
    found, before = examine(sealed.path), _times(sealed.path)
    with shared(sealed.path), pytest.raises(InUse, match="open in this process"):
        remove_bad(sealed.path, found)
    assert _times(sealed.path) == before


def test_what_is_beside_the_store_is_not_touched(sealed, tmp_path):
    os.utime(sealed.shard(0), ns=(1, 1))
    shutil.copytree(sealed.path, tmp_path / "other")
    other = _times(tmp_path / "other")
    _flip(sealed.shard(1), 30)
    remove_bad(sealed.path, examine(sealed.path))
    assert _times(tmp_path / "other") == other and sealed.shard(0).stat().st_mtime_ns == 1
