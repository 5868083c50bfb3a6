"""Jobs: what a receipt says, what is refused, and what a killed or a concurrent job leaves behind."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import numpy as np
import pytest
import zarr

from fsar_core.errors import FsarError
from fsar_core.specs import LAYOUT_VERSION
from fsar_core.storage.provenance import write_json
from fsar_core.stores import layout, writer
from fsar_core.stores.layout import Plan, create
from fsar_core.stores.manifest import read_receipt, unfinished_jobs
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block, write_job
from tests.builders import array_blocks


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def _stored(toy) -> np.ndarray:
    return np.asarray(zarr.open(toy.path / "data.zarr/features", mode="r")[:])


def _spans(shard: bytes) -> list[list[int]]:
    """Offset and bytes of every clip of a shard file, by its index."""
    spans = np.frombuffer(shard[-64 * 16 - 4 : -4], "<u8").reshape(-1, 2)
    return spans[(spans != 2**64 - 1).any(axis=1)].tolist()


def _child(toy, job: int, before: str = "") -> subprocess.Popen:
    """Another process that writes `job` of a toy store, from the values saved beside it."""
    np.save(toy.path.with_suffix(".npy"), toy.values)
    script = f"""
        import sys, time
        from pathlib import Path
        import numpy as np
        from fsar_core.errors import FsarError
        from fsar_core.stores.layout import read_plan
        from fsar_core.stores.writer import write_job
        from tests.builders import array_blocks
        store, values = Path({str(toy.path)!r}), np.load({str(toy.path.with_suffix(".npy"))!r})
        %s
        blocks = array_blocks(values, read_plan(store).rows({job}))
        try:
            write_job(store, {job}, blocks, store / "receipts/{job}.json")
        except FsarError as error:
            sys.exit(str(error))
    """
    script = textwrap.dedent(script) % textwrap.dedent(before)
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_receipt_holds_rows_files_and_checksums(toy):
    value = toy.write(1)
    assert read_receipt(toy.path, 1) == value
    assert (
        value["job"] == 1
        and value["rows"] == [64, 128]
        and value["failures"] == []
        and value["seconds"] >= 0
    )
    assert {"python", "numpy", "zarr"} <= value["environment"].keys()
    # Rows 64..127 are one shard file a view; those of view 1 hold the training clips 64..89.
    assert list(value["files"]) == [f"data.zarr/features/c/1/{view}/0/0/0/0" for view in (0, 1)]
    for key, entry in value["files"].items():
        data = (toy.path / key).read_bytes()
        stored = [data[start + size - 4 : start + size].hex() for start, size in _spans(data)]
        assert entry == {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "clips": "".join(stored),
        }
        assert len(stored) == 64


def test_only_the_job_s_rows_are_written(toy):
    toy.write(1)
    stored = _stored(toy)
    np.testing.assert_array_equal(stored[64:128], toy.values[64:128])
    assert not stored[:64].any() and not stored[128:].any()


def test_a_shard_of_zeros_has_no_file_and_is_read_as_zeros(toy):
    # Job 2 holds validation and test clips only, which have nothing in view 1.
    assert list(toy.write(2)["files"]) == ["data.zarr/features/c/2/0/0/0/0/0"]
    np.testing.assert_array_equal(_stored(toy)[128:], toy.values[128:])
    assert not toy.values[128:, 1].any()


def test_failures_go_into_the_receipt(make_toy):
    toy = make_toy(broken=(3, 70, 71))
    failed = [
        {"row": row, "path": toy.index.path[row], "problem": "empty file"} for row in (3, 70, 71)
    ]
    assert toy.write(0)["failures"] == failed[:1] and toy.write(1)["failures"] == failed[1:]


def test_writing_again_gives_the_same_files(toy):
    first, second = toy.write(0), toy.write(0)
    assert first["files"] == second["files"] and len(first["files"]) == 2


def test_several_arrays_and_blocks_in_one_job(tmp_path):
    plan = Plan(
        layout=LAYOUT_VERSION,
        spec={},
        clips=70,
        views=1,
        shapes={"scores": [3], "masks": [2, 2]},
        dtypes={"scores": "float32", "masks": "uint8"},
        clips_per_job=128,
    )
    create(tmp_path, plan)
    scores = np.arange(1, 211, dtype=np.float32).reshape(70, 1, 3)
    masks = np.arange(280).reshape(70, 1, 2, 2).astype(np.uint8)
    failed = [[{"row": row, "path": f"{row}.mp4", "problem": "no frames"}] for row in (63, 64)]
    parts = (slice(0, 64), slice(64, 70))
    blocks = [
        Block({"scores": scores[part], "masks": masks[part]}, problems, {"decord": 3})
        for part, problems in zip(parts, failed)
    ]
    value = write_job(tmp_path, 0, blocks, tmp_path / "0.json")
    assert (
        len(value["files"]) == 4
        and value["failures"] == failed[0] + failed[1]
        and value["counts"] == {"decord": 6}
    )
    group = zarr.open_group(tmp_path / "data.zarr", mode="r")
    np.testing.assert_array_equal(group["scores"][:], scores)
    np.testing.assert_array_equal(group["masks"][:], masks)


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_shard_files_are_zarr_s_own(make_toy, tmp_path, compression):
    """Byte for byte what Zarr writes of the same values, the last file of a store excepted, where it fills up with zeros."""
    toy = make_toy(compression=compression)
    toy.fill()
    other = tmp_path / "by zarr"
    create(other, toy.plan)
    array = layout.open_arrays(other, ["features"], mode="r+")["features"]
    for view in range(2):
        for start in (0, 64, 128):
            array[start : start + 64, view] = toy.values[start : start + 64, view]
    for number, view in ((0, 0), (0, 1), (1, 0)):
        key = layout.shard_file("features", 64 * number, view, 4)
        assert (toy.path / key).read_bytes() == (other / key).read_bytes()
    np.testing.assert_array_equal(_stored(toy), array[:])


@pytest.mark.parametrize("threads", [1, 3, 9])
def test_threads_change_nothing(toy, tmp_path, threads):
    toy.fill()
    store = tmp_path / "threads"
    create(store, replace(toy.plan, clips_per_job=192))
    value = write_job(store, 0, array_blocks(toy.values, range(150)), tmp_path / "0.json", threads)
    assert value["files"] == {
        k: v for job in range(3) for k, v in read_receipt(toy.path, job)["files"].items()
    }
    for key, entry in value["files"].items():
        assert hashlib.sha256((store / key).read_bytes()).hexdigest() == entry["sha256"]


def test_a_block_is_written_while_the_next_one_is_made(make_toy, tmp_path, monkeypatch):
    toy, store = make_toy(), tmp_path / "one_job"
    create(store, replace(toy.plan, clips_per_job=192))
    asked, check, written = threading.Event(), writer._check, []

    def checked(block, name, start, stop, plan):
        assert start > 0 or asked.wait(60)
        check(block, name, start, stop, plan)
        written.append(start)

    def blocks():
        for number, block in enumerate(array_blocks(toy.values, range(150))):
            if number == 1:
                asked.set()
            if number == 2:
                assert written == [0]  # no more than one is waiting
            yield block

    monkeypatch.setattr(writer, "_check", checked)
    value = write_job(store, 0, blocks(), tmp_path / "0.json")
    assert written == [0, 64, 128] and len(value["files"]) == 5
    toy.fill()
    for key, entry in value["files"].items():
        assert hashlib.sha256((toy.path / key).read_bytes()).hexdigest() == entry["sha256"]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_values_that_are_not_finite_are_refused(toy, value):
    values = toy.values.copy()
    values[100, 0, 1, 2, 0, 1] = value
    message = _failure(lambda: toy.write(1, values))
    assert message == (
        "array 'features' row 100: not finite in float16; the network's activations overflow: check its weights and "
        "normalisation, or set `dtype: float32` in the preset's backbone"
    )
    assert not toy.receipt(1).exists()


def test_an_overflow_of_float16_is_noticed(toy):
    with np.errstate(over="ignore"):
        values = (toy.values.astype(np.float32) * 1e5).astype(np.float16)
    assert "array 'features' row 0: not finite in float16" in _failure(lambda: toy.write(0, values))


def test_blocks_of_another_form_are_refused(toy):
    rows = toy.plan.rows(0)
    cases = [
        (
            toy.values[:, :1],
            "rows 0..63: expected the shape (64, 2, 2, 4, 2, 2), found (64, 1, 2, 4, 2, 2)",
        ),
        (
            toy.values[..., :1],
            "rows 0..63: expected the shape (64, 2, 2, 4, 2, 2), found (64, 2, 2, 4, 2, 1)",
        ),
        (toy.values.astype(np.float32), "rows 0..63: expected float16, found float32"),
    ]
    for values, words in cases:
        message = _failure(
            lambda values=values: write_job(toy.path, 0, array_blocks(values, rows), toy.receipt(0))
        )
        assert message == f"array 'features' {words}"
    assert not toy.receipt(0).exists()


def test_a_job_that_ends_early_or_late_has_no_receipt(make_toy):
    toy = make_toy()
    first, second = list(array_blocks(toy.values, range(0, 128)))
    assert "job 0 ended at row 0, expected 64" in _failure(
        lambda: write_job(toy.path, 0, [], toy.receipt(0))
    )
    assert "expected the shape (0, " in _failure(
        lambda: write_job(toy.path, 0, [first, second], toy.receipt(0))
    )
    assert not toy.receipt(0).exists()


def broken():
    raise KeyboardInterrupt
    yield


def damage(toy, receipt: bool):
    """One byte of a shard file or of its sum in the receipt."""
    if receipt:
        value = json.loads(toy.receipt(0).read_text())
        next(iter(value["files"].values()))["sha256"] = "0" * 64
        toy.receipt(0).write_text(json.dumps(value))
    else:
        path = toy.path / next(iter(json.loads(toy.receipt(0).read_text())["files"]))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("receipt", [False, True], ids=["shard", "receipt"])
def test_a_second_attempt_at_a_damaged_job_takes_the_old_receipt_away_first(toy, receipt):
    toy.write(0)
    damage(toy, receipt)
    with pytest.raises(KeyboardInterrupt):
        write_job(toy.path, 0, broken(), toy.receipt(0))
    assert not toy.receipt(0).exists()


INPUTS = {"index": "i", "files": "f", "versions": {"torch": "2"}}


def test_a_job_that_was_made_from_the_same_inputs_is_finished(toy):
    value = toy.write(0, inputs=INPUTS)
    assert value["inputs"] == INPUTS
    assert toy.finished(0, INPUTS) == value == read_receipt(toy.path, 0)


@pytest.mark.parametrize("name", INPUTS)
def test_a_job_with_another_input_is_not_finished(toy, name):
    toy.write(0, inputs=INPUTS)
    assert toy.finished(0, INPUTS | {name: "other"}) is None
    assert toy.finished(0, {key: value for key, value in INPUTS.items() if key != name}) is None


def test_a_receipt_of_before_inputs_were_recorded_is_not_finished(toy):
    toy.write(0)
    assert "inputs" not in read_receipt(toy.path, 0) and toy.finished(0, INPUTS) is None


@pytest.mark.parametrize("receipt", [False, True], ids=["shard", "receipt"])
def test_a_damaged_job_is_not_finished(toy, receipt):
    toy.write(0, inputs=INPUTS)
    damage(toy, receipt)
    assert toy.finished(0, INPUTS) is None


def test_a_job_with_a_lost_clip_is_not_finished(toy):
    failure = {"row": 3, "path": "a.mp4", "problem": "the decoder crashed (SIGKILL)"}
    for entry, finished in ((failure, True), (failure | {"lost": True}, False)):
        blocks = [
            block._replace(failures=[entry]) for block in array_blocks(toy.values, toy.plan.rows(0))
        ]
        write_job(toy.path, 0, blocks, toy.receipt(0), inputs=INPUTS)
        assert (toy.finished(0, INPUTS) is not None) == finished


def test_further_keys_of_a_file_do_not_count(toy):
    value = toy.write(0, inputs=INPUTS)
    for entry in value["files"].values():
        entry["clips"] = [1, 2, 3]
    write_json(toy.receipt(0), value)
    assert toy.finished(0, INPUTS) == value


def test_an_attempt_that_ended_early_leaves_its_mark(toy):
    toy.write(0, inputs=INPUTS)
    old = toy.receipt(0).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_job(toy.path, 0, broken(), toy.receipt(0), inputs=INPUTS)
    assert unfinished_jobs(toy.path) == [0]
    toy.receipt(0).write_bytes(old)  # as Snakemake does for a job that failed
    assert toy.finished(0, INPUTS) is None
    toy.write(1), toy.write(2)
    told = f"{toy.receipt(0)}: a later attempt at this job has not finished"
    assert _failure(toy.seal).startswith(told)
    toy.write(0, inputs=INPUTS)
    assert unfinished_jobs(toy.path) == [] and toy.seal()


def test_a_job_that_does_not_exist(toy):
    assert "job 3 does not exist; this store has the jobs 0..2" in _failure(
        lambda: write_job(toy.path, 3, [], toy.receipt(3))
    )


def test_processes_may_write_at_the_same_time(toy):
    """Both stop before each rename of a shard file until the other has got as far."""
    meet = """
        import os
        rename = os.replace
        def replace(source, target):
            if Path(target).name == "0":
                view = Path(target).parts[-5]
                (store.parent / f"met {job} {view}").touch()
                for _ in range(3000):
                    if (store.parent / f"met {1 - job} {view}").exists():
                        break
                    time.sleep(0.01)
                else:
                    sys.exit("the other process never came")
            return rename(source, target)
        os.replace = replace
    """
    children = [_child(toy, job, f"job = {job}\n" + textwrap.dedent(meet)) for job in (0, 1)]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    assert len(list(toy.path.parent.glob("met *"))) == 4  # two views a job
    toy.write(2)
    toy.seal()
    np.testing.assert_array_equal(_stored(toy), toy.values)
    assert StoreReader(toy.path, "features", toy.spec).failed == frozenset()


def test_a_killed_job_leaves_no_receipt_and_is_done_again(toy, make_toy):
    """SIGKILL while a shard file is being written: its bytes lie in a temporary file, which is not renamed yet."""
    hang = """
        import os
        rename = os.replace
        def replace(source, target):
            if Path(target).name == "0" and Path(target).parts[-5] == "1":
                print("writing", flush=True)
                time.sleep(60)
            return rename(source, target)
        os.replace = replace
    """
    toy.write(0), toy.write(2)
    child = _child(toy, 1, hang)
    assert child.stdout.readline() == "writing\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    assert child.returncode == -signal.SIGKILL
    left = [path.name for path in toy.path.rglob(".0.*")]
    assert len(left) == 1 and not toy.shard(1, 1).exists()
    assert not toy.receipt(1).exists()
    assert (
        _failure(toy.seal)
        == f"{toy.receipt(1)}: missing; job 1 of this store is not done; run snakemake again"
    )
    assert "not complete" in _failure(lambda: StoreReader(toy.path, "features"))
    toy.write(1)
    toy.seal()
    assert list(toy.path.rglob(".0.*")) == []
    np.testing.assert_array_equal(_stored(toy), toy.values)
    # Nothing tells the mended store from one that was never interrupted.
    whole = make_toy("whole")
    whole.fill().seal()
    assert (toy.path / "manifest.json").read_bytes() == (whole.path / "manifest.json").read_bytes()


def test_leftovers_of_other_jobs_stay(toy):
    for number in (0, 1):
        toy.shard(number).parent.mkdir(parents=True)
        for name in (".0.abcdefgh", "0.abc.partial"):  # of this release, and of those before
            (toy.shard(number).parent / name).write_bytes(b"half a shard")
    value = toy.write(0)
    left = [path for path in toy.path.rglob("*") if path.name in (".0.abcdefgh", "0.abc.partial")]
    assert [path.parts[-6] for path in left] == ["1", "1"]
    assert all(key.endswith("/0") for key in value["files"])


def test_a_full_disk_is_one_line(toy):
    """A limit on file sizes stands for a full disk: writing fails with an OSError in the middle of a shard."""
    limit = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    """
    child = _child(toy, 0, limit)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert errors == f"{toy.path}: cannot write rows 0..63: File too large\n"
    assert not toy.receipt(0).exists()
    toy.write(0)
    assert list(toy.path.rglob(".0.*")) == []
    np.testing.assert_array_equal(_stored(toy)[:64], toy.values[:64])
