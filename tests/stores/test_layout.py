"""Plans: jobs share no shard file, creation can be repeated, and a damaged plan is told in one line."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from fsar_core.errors import FsarError
from fsar_core.storage.provenance import read_json, write_json
from fsar_core.stores import layout
from fsar_core.stores.layout import (
    FILE_CLIPS,
    Plan,
    create,
    job_count,
    parse_spec,
    read_plan,
    whole_files,
)
from tests.builders import feature_plan, toy_feature_spec, toy_frame_spec


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_by_hand():
    assert FILE_CLIPS == 64
    assert [whole_files(n) for n in (1, 63, 64, 65, 500)] == [64, 64, 64, 128, 512]
    assert [job_count(clips, 100) for clips in (1, 128, 129, 1000)] == [1, 1, 2, 8]
    plan = feature_plan(toy_feature_spec(), (8, 4, 2, 2), clips=300, clips_per_job=100)
    assert plan.jobs == 3 and [plan.rows(job) for job in range(3)] == [
        range(0, 128),
        range(128, 256),
        range(256, 300),
    ]


@given(clips=st.integers(1, 5000), wanted=st.integers(1, 700))
def test_jobs_partition_the_clips_and_share_no_file(clips, wanted):
    plan = feature_plan(toy_feature_spec(), (8, 4, 2, 2), clips, wanted)
    rows = [plan.rows(job) for job in range(plan.jobs)]
    assert [row for part in rows for row in part] == list(range(clips))
    assert all(part.start % FILE_CLIPS == 0 and len(part) > 0 for part in rows)
    assert all(len(part) % FILE_CLIPS == 0 for part in rows[:-1])
    files = [{row // FILE_CLIPS for row in part} for part in rows]
    assert sum(map(len, files)) == len(set().union(*files)) == -(-clips // FILE_CLIPS)
    assert plan.jobs == job_count(clips, wanted)


@pytest.mark.parametrize("job", [-1, 3])
def test_a_job_that_does_not_exist(toy, job):
    assert (
        _failure(lambda: toy.plan.rows(job))
        == f"job {job} does not exist; this store has the jobs 0..2"
    )


def test_create_makes_the_final_shape(toy):
    array = zarr.open(toy.path / "data.zarr/features", mode="r")
    assert array.shape == (150, 2, 2, 4, 2, 2) and array.dtype == np.float16
    assert array.chunks == (1, 1, 2, 4, 2, 2) and array.shards == (64, 1, 2, 4, 2, 2)
    assert not np.asarray(array[:]).any()
    assert read_json(toy.path / "plan.json", "") == asdict(toy.plan)
    assert read_plan(toy.path) == toy.plan


def test_create_again_keeps_what_was_written(toy):
    toy.write(1)
    files = {p: p.read_bytes() for p in toy.path.rglob("*") if p.is_file()}
    create(toy.path, toy.plan)
    assert {p: p.read_bytes() for p in toy.path.rglob("*") if p.is_file()} == files
    assert len([p for p in files if "/c/" in p.as_posix()]) == 2  # one shard file a view


def test_create_finishes_what_was_interrupted(toy):
    (toy.path / "plan.json").unlink()
    (toy.path / "data.zarr/features/zarr.json").unlink()
    create(toy.path, toy.plan)
    assert read_plan(toy.path) == toy.plan
    toy.fill().seal()


@pytest.mark.parametrize(
    "change",
    [
        {"clips": 151},
        {"views": 1},
        {"shapes": {"features": [2, 4, 3, 2]}},
        {"dtypes": {"features": "float32"}},
    ],
)
def test_create_refuses_an_array_of_another_shape(toy, change):
    message = _failure(lambda: create(toy.path, replace(toy.plan, **change)))
    assert (
        message
        == f"{toy.path}: holds an array 'features' of another shape; remove the folder and run again"
    )
    assert read_plan(toy.path) == toy.plan


@pytest.mark.parametrize("file", ["data.zarr/zarr.json", "data.zarr/features/zarr.json"])
def test_damaged_metadata(toy, file):
    (toy.path / file).write_text('{"zarr_for')
    for call in (lambda: create(toy.path, toy.plan), lambda: toy.write(0)):
        message = _failure(call)
        assert message.startswith(f"{toy.path}/data.zarr: cannot be opened (")
        assert message.endswith(f"mend it with `fsar repair {toy.path}`")


def test_several_arrays(tmp_path):
    shapes, dtypes = {"a": [2], "b": [3, 3]}, {"a": "uint8", "b": "float32"}
    plan = Plan(layout=1, spec={}, clips=3, views=1, shapes=shapes, dtypes=dtypes, clips_per_job=64)
    create(tmp_path, plan)
    group = zarr.open_group(tmp_path / "data.zarr", mode="r")
    assert {name: (a.shape, str(a.dtype)) for name, a in group.arrays()} == {
        "a": ((3, 1, 2), "uint8"),
        "b": ((3, 1, 3, 3), "float32"),
    }


def test_a_plan_that_cannot_be_read(toy):
    path = toy.path / "plan.json"
    value = asdict(toy.plan)
    newer = layout.LAYOUT_VERSION + 1
    mend = f"mend it with `fsar repair {toy.path}`"
    cases = [
        (
            value | {"layout": newer},
            f"the store has layout {newer}, and this fsar knows layouts up to 1: open it with",
        ),
        (
            {key: of for key, of in value.items() if key != "layout"},
            f"damaged (layout None); {mend}",
        ),
        ({key: of for key, of in value.items() if key != "clips"}, "damaged plan ("),
        (value | {"other": 1}, "damaged plan ("),
    ]
    for changed, words in cases:
        write_json(path, changed)
        assert _failure(lambda: read_plan(toy.path)).startswith(f"{path}: {words}")
    for text in (json.dumps(value)[:40], "[]"):
        path.write_text(text)
        assert _failure(lambda: read_plan(toy.path)).startswith(f"{path}: damaged (no JSON")
    path.write_text(json.dumps(value))  # of before there were sums
    assert read_plan(toy.path) == toy.plan
    path.unlink()
    assert _failure(lambda: read_plan(toy.path)) == f"{path}: missing; make it with `fsar plan`"


@pytest.mark.parametrize(
    "spec", [toy_frame_spec(policy="linspace"), toy_feature_spec(dtype="float32")]
)
def test_parse_spec_finds_the_kind(spec):
    assert parse_spec(spec.json_text) == spec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frames", "--spec is no JSON object"),
        ("[1]", "--spec is no JSON object"),
        ("{}", "--spec names the unknown kind of store 'None'; valid: features, frames, masks"),
        (
            '{"kind": "masques"}',
            "--spec names the unknown kind of store 'masques'; valid: features, frames, masks",
        ),
        ('{"kind": ["frames"]}', "--spec names the unknown kind of store"),
        ('{"kind": "frames"}', "--spec is no FrameSpec: dataset: Field required"),
        (
            toy_frame_spec().json_text.replace('"crop"', '"stretch"'),
            "--spec is no FrameSpec: fit: ",
        ),
    ],
)
def test_parse_spec_mistakes(text, words):
    assert words in _failure(lambda: parse_spec(text))


@pytest.mark.parametrize("dtype", ["<U4", "bool"])
def test_only_arrays_of_numbers_are_opened(tmp_path, dtype):
    zarr.create_array(tmp_path / "data.zarr", name="a", shape=(3,), dtype=dtype)
    message = _failure(lambda: layout.open_arrays(tmp_path, ["a"]))
    assert (
        message
        == f"{tmp_path}/data.zarr: 'a' is no array of numbers; mend it with `fsar repair {tmp_path}`"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("features"), "'features'"),
        (RuntimeError(), "RuntimeError"),
        (ValueError("first line\nsecond line"), "first line"),
        (OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
    ],
)
def test_whatever_zarr_raises_is_one_line(toy, monkeypatch, error, reason):
    def open_group(*_, **__):
        raise error

    monkeypatch.setattr(zarr, "open_group", open_group)
    message = _failure(lambda: layout.open_arrays(toy.path, ["features"]))
    assert (
        message
        == f"{toy.path}/data.zarr: cannot be opened ({reason}); mend it with `fsar repair {toy.path}`"
    )


def test_a_bucket_that_cannot_be_reached_is_not_called_damaged(toy, monkeypatch):
    def open_group(*_, **__):
        raise FsarError("s3://bucket/x: cannot be read (timeout); check the network")

    monkeypatch.setattr(zarr, "open_group", open_group)
    message = _failure(lambda: layout.open_arrays(toy.path, ["features"]))
    assert message == "s3://bucket/x: cannot be read (timeout); check the network"
