"""The demo videos: what the data sets promise, and that a clip is a function of its name."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from decord import VideoReader
from PIL import Image

from fsar_core.data import demo
from fsar_core.data.demo import canvas, temporal, video
from fsar_core.errors import FsarError
from fsar_core.runtime.seeding import rng

ALL = [(dataset, name) for dataset in demo.DATASETS for name in demo.class_names(dataset)]
FORWARD = {pair.forward: pair for pair in temporal.PAIRS}


def _tree(folder) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _masks(path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("dataset", demo.DATASETS)
def test_forty_eight_classes_in_disjoint_splits(dataset):
    splits = demo.class_splits(dataset)
    assert {split: len(names) for split, names in splits.items()} == {
        "train": 24,
        "val": 8,
        "test": 16,
    }
    names = demo.class_names(dataset)
    assert len(set(names)) == len({demo.slug(name) for name in names}) == 48
    assert all(slug.replace("_", "").isalnum() and slug.isascii() for slug in map(demo.slug, names))


def test_a_pair_is_never_split():
    splits = demo.class_splits("demo_temporal")
    for pair in demo.pairs("demo_temporal"):
        assert sum(set(pair) <= set(names) for names in splits.values()) == 1
    assert sorted(name for pair in demo.pairs("demo_temporal") for name in pair) == sorted(
        demo.class_names("demo_temporal")
    )
    assert demo.pairs("demo_spatial") == []


def test_spatial_splits_share_scenes_but_no_object():
    by_split = {}
    for kind in demo.spatial.KINDS:
        by_split.setdefault(kind.split, []).append(kind)
    assert {k.scene for k in by_split["test"]} <= {k.scene for k in by_split["train"]}
    assert not {k.thing for k in by_split["test"]} & {k.thing for k in by_split["train"]}
    things, scenes = {k.thing for k in by_split["test"]}, {k.scene for k in by_split["test"]}
    assert (
        len(things) == len(scenes) == 4
        and len({(k.thing, k.scene) for k in by_split["test"]}) == 16
    )


@pytest.mark.parametrize(("dataset", "name"), ALL)
def test_every_class_draws_something_that_acts(dataset, name):
    clip, masks = demo.draw_clip(dataset, name, 0, 0, frames=16, height=64, width=80)
    assert clip.shape == (16, 64, 80, 3) and clip.dtype == np.uint8
    assert masks.shape == (16, 64, 80) and masks.dtype == np.uint8
    assert clip.std() > 5
    start, end = demo.interval(dataset, name, 0, 0, frames=16)
    seen = (masks > 0).any(axis=(1, 2))
    assert seen[start:end].mean() >= 0.4 and masks.max() >= 1
    # What carries the mask differs from what surrounds it.
    inside, outside = clip[masks > 0].mean(axis=0), clip[masks == 0].mean(axis=0)
    assert np.abs(inside - outside).max() > 4


@pytest.mark.parametrize("pair", temporal.PAIRS, ids=lambda pair: demo.slug(pair.forward))
def test_outside_of_its_interval_the_scene_goes_on_without_the_action(pair):
    size = (32, 48, 64)
    for name, step in ((pair.forward, 1), (pair.backward, -1)):
        clip, masks = demo.draw_clip("demo_partial", name, 5, 7, *size)
        start, end = demo.interval("demo_partial", name, 5, 7)
        assert 3 <= start < end <= 29 and 0.3 < (end - start) / 32 < 0.63
        outside = np.r_[0:start, end:32]
        assert not masks[outside].any() and masks[start:end].any()
        # The same process as that of the whole clips, the other way round in time.
        drawn, _ = temporal.draw(
            pair,
            rng(5, "demo_partial", name, 7),
            *size,
            (start, end) if step > 0 else (32 - end, 32 - start),
        )
        np.testing.assert_array_equal(clip, drawn[::step])
        # What is left is one scene: frames outside differ by camera, distractors and noise, inside by the action as well.
        assert clip[outside].std() > 3


def test_a_scene_without_its_action_is_the_same_before_and_after(monkeypatch):
    """Without camera, flicker and noise, every frame outside is the background and nothing else."""
    for part, still in (
        ("jitter", np.zeros((32, 2))),
        ("flicker", np.ones((32, 1, 1, 1), np.float32)),
    ):
        monkeypatch.setattr(canvas, part, lambda *_, still=still: still)
    monkeypatch.setattr(
        canvas,
        "grain",
        lambda _, height, width, __: np.zeros((3, height + 33, width + 33), np.float32),
    )
    monkeypatch.setattr(temporal, "_distract", lambda _: None)
    for pair in (temporal.PAIRS[0], FORWARD["turning a lamp on"], FORWARD["opening a curtain"]):
        clip, _ = temporal.draw(pair, rng(2), 32, 48, 64, during=(9, 20))
        assert (clip[:9] == clip[0]).all() and (clip[20:] == clip[0]).all()
        assert all((frame != clip[0]).any() for frame in clip[9:20])


def test_intervals_differ_by_clip_and_are_listed():
    table = demo.split_table("demo_partial", {"train": 2, "val": 1, "test": 3})
    listed = demo.interval_table("demo_partial", table, 4, 32)
    assert list(listed) == table["path"].tolist() and len(set(listed.values())) > 20
    clip = table.iloc[-1]
    number = demo.number_of(clip["path"])
    assert number == 2 and listed[clip["path"]] == demo.interval(
        "demo_partial", clip["class"], 4, number
    )
    lengths = [end - start for start, end in listed.values()]
    assert min(lengths) < 14 and max(lengths) > 16
    for dataset in ("demo_temporal", "demo_spatial"):
        name = demo.class_names(dataset)[0]
        assert demo.interval(dataset, name, 0, 0) == (0, 32)
        assert (
            demo.interval_table(
                dataset, demo.split_table(dataset, {"train": 1, "val": 1, "test": 1}), 0, 32
            )
            == {}
        )


def test_clips_of_before_are_drawn_as_they_were():
    """Stores and numbers of users hang on them (VERSION)."""
    drawn = hashlib.sha256()
    for dataset in ("demo_temporal", "demo_spatial"):
        for number, name in enumerate(demo.class_names(dataset)):
            clip, masks = demo.draw_clip(dataset, name, 0, number % 3, 12, 48, 64)
            drawn.update(clip.tobytes())
            drawn.update(masks.tobytes())
    assert drawn.hexdigest() == "214653ac7365e366209d748442df1f1a62ca618b9a18ee58f993d296e0a282cd"


@pytest.mark.parametrize("size", [(8, 48, 64), (32, 96, 128), (5, 120, 90)])
def test_any_size(size):
    for dataset in demo.DATASETS:
        clip, masks = demo.draw_clip(dataset, demo.class_names(dataset)[3], 1, 2, *size)
        assert clip.shape == (*size, 3) and masks.shape == size


def test_clips_of_a_class_differ_by_seed_and_index():
    name = demo.class_names("demo_temporal")[0]
    clips = [
        demo.draw_clip("demo_temporal", name, *key, frames=4)[0] for key in ((0, 0), (0, 1), (1, 0))
    ]
    assert all((clips[a] != clips[b]).mean() > 0.5 for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("pair", temporal.PAIRS, ids=lambda pair: demo.slug(pair.forward))
def test_the_reverse_class_is_the_same_process_backwards(pair):
    size = (8, 48, 64)
    for name, step in ((pair.forward, 1), (pair.backward, -1)):
        clip, masks = demo.draw_clip("demo_temporal", name, 5, 7, *size)
        drawn, ids = temporal.draw(pair, rng(5, "demo_temporal", name, 7), *size)
        np.testing.assert_array_equal(clip, drawn[::step])
        np.testing.assert_array_equal(masks, ids[::step])


def test_the_same_bytes_in_another_order_and_another_process(tmp_path):
    wanted = [
        (dataset, demo.class_names(dataset)[i], i) for dataset in demo.DATASETS for i in (1, 6, 29)
    ]
    for dataset, name, index in wanted:
        demo.write_clip(tmp_path / "a" / dataset, dataset, name, 3, index)
    for dataset, name, index in reversed(wanted):
        demo.write_clip(tmp_path / "b" / dataset, dataset, name, 3, index)
    script = "import sys; from fsar_core.data import demo\n" + "\n".join(
        f"demo.write_clip({str(tmp_path / 'c' / d)!r}, {d!r}, {n!r}, 3, {i})"
        for d, n, i in wanted[1::2]
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    first, second, third = (_tree(tmp_path / folder) for folder in "abc")
    assert first == second and len(first) == 2 * len(wanted)
    assert third.items() <= first.items() and len(third) == 2 * len(wanted[1::2])


def test_files_decode_to_what_was_drawn(tmp_path):
    rates = set()
    for dataset, name in ALL[::9]:
        path = demo.write_clip(tmp_path, dataset, name, 0, 3)
        assert path == tmp_path / "videos" / demo.slug(name) / "clip_0003.mp4"
        clip, masks = demo.draw_clip(dataset, name, 0, 3)
        reader = VideoReader(str(path))
        rates.add(round(reader.get_avg_fps(), 3))
        assert len(reader) == 32
        decoded = reader.get_batch(range(32)).asnumpy().astype(np.float64)
        # Frame by frame, so that a dropped or a swapped frame cannot hide in the mean.
        psnr = 10 * np.log10(255**2 / ((decoded - clip) ** 2).mean(axis=(1, 2, 3)))
        assert psnr.min() > 22, (name, psnr.min())
        stored = _masks(tmp_path / "masks" / demo.slug(name) / "clip_0003.png")
        np.testing.assert_array_equal(stored.reshape(32, 96, 128), masks)
    assert rates == set(video.FPS)


def test_nothing_but_the_clip_is_left_behind(tmp_path, monkeypatch):
    name = demo.class_names("demo_spatial")[0]
    demo.write_clip(tmp_path, "demo_spatial", name, 0, 0, frames=4)
    before = _tree(tmp_path)
    assert len(before) == 2

    def full_disk(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(video.os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        demo.write_clip(tmp_path, "demo_spatial", name, 0, 1, frames=4)
    assert _tree(tmp_path) == before


def test_masks_follow_the_object():
    def centre(masks: np.ndarray, axis: int) -> np.ndarray:
        return np.array([np.nonzero(m)[axis].mean() for m in masks])

    for index in range(6):
        _, masks = demo.draw_clip("demo_temporal", "moving something from left to right", 0, index)
        x = centre(masks, 1)
        assert x[-1] - x[0] > 40 and np.diff(x).min() > -3
        _, masks = demo.draw_clip("demo_temporal", "lowering something on a rope", 0, index)
        y = centre(masks, 0)
        assert y[-1] - y[0] > 20 and np.diff(y).min() > -3
        _, masks = demo.draw_clip(
            "demo_temporal", "moving something away from the camera", 0, index
        )
        area = (masks == 1).sum(axis=(1, 2))
        assert area[0] > 4 * area[-1] > 0


def test_the_mask_is_where_the_picture_changed(monkeypatch):
    """Drawn again without its acting instances, a clip differs inside the mask (and on the edge), nowhere else."""
    pair = FORWARD["moving something from left to right"]
    clip, masks = temporal.draw(pair, rng(0, "mask"), 16, 96, 128)
    stamp = canvas.Canvas.stamp

    def scenery_only(self, *args, instance=0, **kwargs):
        if not instance:
            stamp(self, *args, **kwargs)

    monkeypatch.setattr(canvas.Canvas, "stamp", scenery_only)
    empty, none = temporal.draw(pair, rng(0, "mask"), 16, 96, 128)
    assert not none.any()
    changed = np.abs(clip.astype(int) - empty).max(axis=-1) > 0
    inside = masks > 0
    grown = inside.copy()
    for axis in (1, 2):
        grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
    assert changed[inside].mean() > 0.97
    assert not (changed & ~grown).any()


def test_an_occluder_takes_the_pixels_it_hides():
    _, masks = demo.draw_clip("demo_temporal", "covering something with a cloth", 0, 1)
    first, last = masks[0], masks[-1]
    assert (first == 1).sum() > 5 * (last == 1).sum() and (last == 2).sum() > 500
    _, masks = demo.draw_clip("demo_temporal", "putting something into a box", 0, 1)
    assert (
        (masks[0] == 1).sum() > 50 > (masks[-1] == 1).sum()
    )  # the box is scenery: 0, not the thing behind it


def test_shapes_are_smooth_and_the_mask_is_half_coverage():
    board = canvas.Canvas(
        np.zeros((3, *canvas.background_shape(40, 60)), np.float32), 1, 40, 60, np.zeros((1, 2))
    )
    white = canvas.Ink(np.ones(3, np.float32), np.ones(3, np.float32), outline=0)
    board.stamp(canvas.SHAPES["ball"], white, x=0.1, y=-0.05, scale=0.3, reach=1.0, instance=3)
    y, x = np.mgrid[:40, :60]
    gap = np.hypot((x - 29.5) / 40 - 0.1, (y - 19.5) / 40 + 0.05) - 0.27
    np.testing.assert_allclose(board.pixels[0, 0], np.clip(0.5 - 40 * gap, 0, 1), atol=1e-4)
    np.testing.assert_array_equal(board.ids[0] == 3, gap * 40 <= 0)
    # Area of the antialiased disc, to a percent.
    assert board.pixels[0, 0].sum() == pytest.approx(np.pi * (0.27 * 40) ** 2, rel=0.01)


def test_progress_rises_for_most_of_the_clip():
    for i in range(200):
        p = temporal.progress(rng(i), 32)
        assert p.shape == (32,) and np.diff(p).min() >= -1e-6
        assert p[0] <= 0.06 + 1e-6 and p[-1] >= 0.94 - 1e-6


def _bag(name: str, count: int) -> np.ndarray:
    """Per clip: histogram of its pixels and mean picture, which do not know the order of the frames."""
    rows = []
    for index in range(count):
        clip, masks = demo.draw_clip(
            "demo_temporal", name, 11, index, frames=8, height=48, width=64
        )
        histogram = np.histogram(clip, 16, (0, 256))[0] / clip.size
        coarse = (masks > 0).mean(axis=0).reshape(6, 8, 8, 8).mean(axis=(1, 3))
        rows.append(np.concatenate([histogram, coarse.ravel()]))
    return np.array(rows)


def test_only_order_tells_a_pair_apart():
    """Permutation test on order-free statistics: no difference; on the direction of motion: a large one."""
    for pair in ("moving something from left to right", "filling a container", "turning a lamp on"):
        one, other = _bag(pair, 40), _bag(FORWARD[pair].backward, 40)
        both = np.concatenate([one, other])
        both = (both - both.mean(axis=0)) / (both.std(axis=0) + 1e-6)
        gap = np.linalg.norm(both[:40].mean(axis=0) - both[40:].mean(axis=0))
        order = rng(0, "permutations")
        others = []
        for _ in range(400):
            mixed = both[order.permutation(80)]
            others.append(np.linalg.norm(mixed[:40].mean(axis=0) - mixed[40:].mean(axis=0)))
        assert np.mean(np.array(others) >= gap) > 0.005, pair


def test_direction_is_seen_in_order():
    def travel(name: str, axis: int) -> list[float]:
        found = []
        for index in range(12):
            _, masks = demo.draw_clip(
                "demo_temporal", name, 2, index, frames=8, height=48, width=64
            )
            found.append(np.nonzero(masks[-1])[axis].mean() - np.nonzero(masks[0])[axis].mean())
        return found

    assert min(travel("moving something from left to right", 1)) > 10
    assert max(travel("moving something from right to left", 1)) < -10


def test_split_table(tmp_path):
    table = demo.split_table("demo_temporal", {"train": 3, "val": 2, "test": 1})
    assert list(table.columns) == ["split", "class", "path", "group"]
    assert table["split"].value_counts().to_dict() == {"train": 72, "val": 16, "test": 16}
    assert table["path"].is_unique and (table["group"] == "").all()
    splits = demo.class_splits("demo_temporal")
    for split, name, where, _ in table.itertuples(index=False):
        assert name in splits[split] and where.startswith(f"videos/{demo.slug(name)}/clip_")
    written = demo.write_clip(tmp_path, "demo_temporal", table["class"][0], 0, 0, frames=4)
    assert written.relative_to(tmp_path).as_posix() == table["path"][0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: demo.class_names("demo_temporel"), "did you mean 'demo_temporal'"),
        (lambda: demo.pairs("ssv2"), "valid: demo_partial, demo_spatial, demo_temporal"),
        (lambda: demo.interval("demo_partial", "zzz", 0, 0), "48 classes"),
        (
            lambda: demo.draw_clip("demo_temporal", "turning a lamp of", 0, 0),
            "did you mean 'turning a lamp of",
        ),
        (lambda: demo.draw_clip("demo_spatial", "zzz", 0, 0), "48 classes"),
        (
            lambda: demo.split_table("demo_spatial", {"train": 1, "vall": 1, "test": 1}),
            "did you mean 'val'",
        ),
        (lambda: demo.split_table("demo_spatial", {"train": 1, "val": 1}), "'test'"),
        (lambda: demo.split_table("demo_spatial", {"train": 1, "val": -1, "test": 1}), "'val'"),
    ],
)
def test_mistakes_are_one_line(call, words):
    with pytest.raises(FsarError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)


def test_an_odd_size_cannot_be_encoded(tmp_path):
    with pytest.raises(FsarError, match="must be even"):
        demo.write_clip(
            tmp_path, "demo_spatial", demo.class_names("demo_spatial")[0], 0, 0, 4, 63, 64
        )


def test_no_torch():
    script = "import sys; import fsar_core.data.demo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
