"""Frame stores: the right frames of the right clip in the right row, and failures that are recorded."""

from __future__ import annotations

import numpy as np
import pytest

from fsar_core.config import Card
from fsar_core.data.decoding import decode
from fsar_core.data.frame_sampling import frame_indices
from fsar_core.data.probing import build_index
from fsar_core.data.transforms import fit_square
from fsar_core.store_kinds import frames as frame_store
from fsar_core.stores.layout import create
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import write_job
from tests.builders import (
    read_codes,
    shared,
    toy_card,
    toy_dataset,
    toy_frame_spec,
    write_code_video,
)

FRAMES = 30
CENTRES = [1, 5, 8, 12, 16, 20, 23, 27]  # of 8 segments of 30 frames


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """72 clips (train 0..35, val 36..53, test 54..71), and their index."""
    made = toy_dataset(tmp_path_factory.mktemp("toy"), clips=18, frames=FRAMES, height=64, width=80)
    return made, build_index(made.entries, Card.model_validate(toy_card()), made.folder, workers=2)


def _blocks(toy, spec, rows, index=None, **options):
    made, whole = toy
    index = whole if index is None else index
    return list(frame_store.blocks(spec, index, made.folder, rows, **options))


def test_plan(toy):
    plan = frame_store.plan(toy_frame_spec(views=3, size=48), toy[1], clips_per_job=65)
    assert plan.shapes == {"frames": [8, 48, 48, 3]} and plan.dtypes == {"frames": "uint8"}
    assert (plan.clips, plan.views, plan.clips_per_job, plan.jobs) == (72, 3, 128, 1)
    assert plan.spec == toy_frame_spec(views=3, size=48).model_dump(mode="json")


def test_the_right_frames_are_in_the_right_rows(toy):
    found = _blocks(toy, toy_frame_spec(), range(0, 72), workers=2)
    assert [block.arrays["frames"].shape for block in found] == [
        (64, 1, 8, 32, 32, 3),
        (8, 1, 8, 32, 32, 3),
    ]
    assert [(block.failures, block.counts) for block in found] == [
        ([], {"decord": 64}),
        ([], {"decord": 8}),
    ]
    frames = np.concatenate([block.arrays["frames"] for block in found])
    assert frames.dtype == np.uint8
    assert read_codes(frames) == [(clip, frame) for clip in range(72) for frame in CENTRES]


def test_pixels_are_those_of_decode_and_fit(toy):
    made, index = toy
    for spec in (
        toy_frame_spec(fit="crop"),
        toy_frame_spec(fit="squash", policy="linspace", count=4),
    ):
        ((arrays, _, _),) = _blocks(toy, spec, range(40, 41))
        wanted = frame_indices(spec.policy, FRAMES, spec.count)
        expected = fit_square(decode(made.folder / index.file[40], wanted)[0], 32, spec.fit)
        np.testing.assert_array_equal(arrays["frames"][0, 0], expected)


@pytest.mark.parametrize("where", ["tmp_path", "bucket"])
def test_frames_as_jpeg(toy, where, request):
    """A store of JPEG files is read as the other one is, but for JPEG's loss; also one in a bucket."""
    rows, read, root = range(0, 72), {}, request.getfixturevalue(where)
    for compression in ("zstd", "jpeg"):
        spec, store = toy_frame_spec(size=64, views=2, compression=compression), root / compression
        plan = frame_store.plan(spec, toy[1], clips_per_job=128)
        create(store, plan)
        write_job(store, 0, _blocks(toy, spec, rows, workers=2), store / "receipts/0.json")
        seal(store, 0)
        reader = StoreReader(store, "frames", spec)
        assert (reader.clip_shape, reader.clip_bytes) == ([8, 64, 64, 3], 8 * 64 * 64 * 3)
        read[compression] = [
            reader.read(np.arange(72)),
            reader.read(np.arange(36), view=1, threads=2),
        ]
        np.testing.assert_array_equal(reader.read_clip(5), read[compression][0][5])
    assert list(plan.shapes.items()) == [("jpeg", [8 * 64 * 64 * 3])] and plan.dtypes == {
        "jpeg": "uint8"
    }
    assert read_codes(read["jpeg"][0]) == read_codes(read["zstd"][0])
    for lossy, exact in zip(read["jpeg"], read["zstd"]):
        assert np.abs(lossy.astype(int) - exact).mean() < 2
    assert "compression" not in toy_frame_spec().model_dump()


def test_a_clip_that_jpeg_makes_larger_is_a_failure(toy, monkeypatch):
    spec = toy_frame_spec(size=4, compression="jpeg")  # the header alone is larger
    ((arrays, failures, _),) = _blocks(toy, spec, range(0, 2))
    assert [failure["row"] for failure in failures] == [0, 1] and not arrays["jpeg"].any()
    assert all("as JPEG; set `compression: zstd`" in failure["problem"] for failure in failures)


def test_a_clip_does_not_depend_on_its_job(toy):
    spec = toy_frame_spec(views=2, policy="segment_random")
    whole = _blocks(toy, spec, range(0, 72))
    np.testing.assert_array_equal(
        whole[1][0]["frames"], _blocks(toy, spec, range(64, 72), workers=2)[0][0]["frames"]
    )


def test_only_training_clips_have_more_views(toy):
    ((arrays, _, _),) = _blocks(toy, toy_frame_spec(views=4), range(32, 40))
    frames = arrays["frames"]
    assert frames.shape == (8, 4, 8, 32, 32, 3)
    assert read_codes(frames[:, 0]) == [
        (clip, frame) for clip in range(32, 40) for frame in CENTRES
    ]
    assert not frames[4:, 1:].any()  # rows 36.. are of the validation split
    drawn = np.array(read_codes(frames[:4, 1:])).reshape(4, 3, 8, 2)
    assert (drawn[..., 0] == np.arange(32, 36)[:, None, None]).all()
    # Each view takes one frame of every segment of 3 or 4, and no two views of a clip are the same.
    edges = np.array([0, 3, 7, 11, 15, 18, 22, 26, 30])
    assert (drawn[..., 1] >= edges[:-1]).all() and (drawn[..., 1] < edges[1:]).all()
    assert all(len({tuple(view) for view in clip}) == 3 for clip in drawn[..., 1].tolist())
    assert len({tuple(map(tuple, clip)) for clip in drawn[..., 1].tolist()}) == 4


def test_random_views_are_decided_by_the_seed(toy):
    one, same, other = (
        read_codes(_blocks(toy, toy_frame_spec(views=2, seed=seed), range(0, 4))[0][0]["frames"])
        for seed in (0, 0, 1)
    )
    assert one == same != other
    fixed = [
        _blocks(toy, toy_frame_spec(seed=seed), range(0, 4))[0][0]["frames"] for seed in (0, 1)
    ]
    np.testing.assert_array_equal(*fixed)
    # With the policy segment_random, view 0 is drawn too.
    drawn = read_codes(
        _blocks(toy, toy_frame_spec(policy="segment_random"), range(0, 4))[0][0]["frames"]
    )
    assert drawn != [(clip, frame) for clip in range(4) for frame in CENTRES]


def test_a_short_clip_repeats_frames(toy, tmp_path):
    index = toy[1].iloc[:1].assign(frames=3, file="short.mp4")
    write_code_video(tmp_path / "short.mp4", frames=3, clip=200)
    ((arrays, failures, _),) = frame_store.blocks(toy_frame_spec(), index, tmp_path, range(0, 1))
    assert failures == [] and [frame for _, frame in read_codes(arrays["frames"])] == [
        0,
        0,
        0,
        0,
        1,
        1,
        1,
        2,
    ]


def test_the_interval_policy_knows_the_clip_s_frame_rate(toy, tmp_path):
    write_code_video(tmp_path / "long.mp4", frames=250, fps=10)
    for fps in (10.0, 0.0):  # 0: unknown to the container, taken for 30
        index = toy[1].iloc[:1].assign(frames=250, fps=fps, file="long.mp4")
        ((arrays, _, _),) = frame_store.blocks(
            toy_frame_spec(policy="interval"), index, tmp_path, range(0, 1)
        )
        expected = frame_indices("interval", 250, 8, fps=fps or 30.0).tolist()
        assert [frame for _, frame in read_codes(arrays["frames"])] == expected


def test_failures_are_recorded_and_leave_zeros(toy):
    index = toy[1].copy()
    index.loc[1, "problem"] = "empty file"  # known from the index
    index.loc[2, "file"] = "videos/gone since.mp4"
    index.loc[66, "frames"] = 300  # the file was replaced by a shorter one since
    found = _blocks(toy, toy_frame_spec(), range(0, 72), index)
    assert found[0][1] == [
        {"row": 1, "path": index.path[1], "problem": "empty file"},
        {"row": 2, "path": index.path[2], "problem": "no such file"},
    ]
    problem = "decord: frame 280 asked, 30 present; pyav: frame 280 asked, 30 present"
    assert found[1][1] == [{"row": 66, "path": index.path[66], "problem": problem}]
    frames = np.concatenate([block.arrays["frames"] for block in found])
    assert not frames[[1, 2, 66]].any()
    sound = [row for row in range(72) if row not in (1, 2, 66)]
    assert read_codes(frames[sound]) == [(clip, frame) for clip in sound for frame in CENTRES]


def test_the_whole_way_to_a_reader(toy, tmp_path):
    made, index = toy
    spec = toy_frame_spec(views=2)
    plan = frame_store.plan(spec, index, 1)
    create(tmp_path, plan)
    for job in range(plan.jobs):
        blocks = frame_store.blocks(spec, index, made.folder, plan.rows(job))
        write_job(tmp_path, job, blocks, tmp_path / "receipts" / f"{job}.json")
    assert plan.jobs == 2 and seal(tmp_path, 0.0)["failures"] == []
    reader = StoreReader(tmp_path, "frames", spec)
    rows = np.array([70, 3, 64])
    assert read_codes(reader.read(rows)) == [(clip, frame) for clip in rows for frame in CENTRES]
    assert {clip for clip, _ in read_codes(reader.read(np.array([9]), view=1))} == {9}


@pytest.mark.shared("real/clips", checks="a real corrupted video in a frame store")
def test_a_real_corrupted_clip_becomes_a_recorded_failure(toy, tmp_path):
    folder = shared("real", "clips")
    entries = toy[0].entries.iloc[:2].assign(path=["corrupted.mp4", "rotated_90.mov"])
    index = build_index(entries, Card.model_validate(toy_card()), folder)
    ((arrays, failures, _),) = frame_store.blocks(toy_frame_spec(), index, folder, range(0, 2))
    assert [(entry["row"], entry["path"]) for entry in failures] == [(0, "corrupted.mp4")]
    assert failures[0]["problem"] and not arrays["frames"][0].any()
    assert arrays["frames"][1, 0].std() > 5
    assert (index.height[1], index.width[1]) == (568, 320)
