"""Predicted masks: what is told of all held-out clips, and the examples as they were taken out."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.errors import FsarError
from fsar_core.figures import masks
from fsar_core.papers.registry import validate_figure

FRAMES = 4
RAW = {
    "kind": "masks",
    "title": "Fig. 1: a toy",
    "where": "nowhere",
    "datasets": ["ssv2_full", "ssv2_small", "kinetics100"],
    "subject": {
        "method": "I2ST",
        "head": {"name": "i2st"},
        "matching": {"name": "global_local"},
        "shot": 1,
    },
    "examples": 2,
    "clips": 10,
}
IOU = np.array([0.5, 0.7, np.nan, 0.2, 0.9])
TUNED_IOU = np.array([0.6, 0.7, np.nan, 0.5, 0.9])
MEAN_IOU = np.array([0.4, 0.3, 0.0, 0.1, np.nan])


def taken(dataset):
    random = np.random.default_rng(0)
    examples = {}
    for number, row in enumerate((4, 30)):
        examples |= {
            f"{number}.row": np.array(row),
            f"{number}.frames": random.integers(0, 256, (FRAMES, 3, 8, 8), dtype=np.uint8),
            f"{number}.true": random.random((FRAMES, 6, 6)).astype(np.float32),
            f"{number}.predicted": random.random((FRAMES, 6, 6)).astype(np.float32),
        }
    return examples | {
        "rows": np.array([4, 9, 17, 22, 30]),
        "classes": np.array(["a", "a", "b", "b", "c"]),
        "iou": IOU,
        "tuned_iou": TUNED_IOU,
        "mean_iou": MEAN_IOU,
        "others": np.array(45),
        "dataset": np.array(dataset),
        "shot": np.array(1),
    }


@pytest.fixture
def looks(tmp_path):
    """The first two data sets of the paper are one in truth, and so is their file."""
    for name in ("toy", "other"):
        np.savez(tmp_path / f"{name}.npz", **taken(name))
    return [
        [name, "I2ST", str(tmp_path / f"{file}.npz")]
        for name, file in zip(RAW["datasets"], ("toy", "toy", "other"))
    ]


def draw(looks, out) -> int:
    figure = validate_figure(RAW, "toy").model_dump(mode="json")
    spec = json.dumps({"figure": figure, "way": 5, "points": [], "looks": looks})
    return main(["figure", "--name", "toy", "--spec", spec, "--runs", "nowhere", "--out", str(out)])


def test_the_files(looks, tmp_path):
    assert draw(looks, tmp_path / "one") == 0 and draw(looks, tmp_path / "two") == 0
    for ending in ("csv", "png", "pdf"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (
            tmp_path / f"two.{ending}"
        ).read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width > 600
    table = pd.read_csv(tmp_path / "one.csv")
    assert list(table) == ["dataset", "row", "class", "iou", "tuned_iou", "mean_mask_iou", "shown"]
    assert table.dataset.tolist() == ["toy"] * 5 + ["other"] * 5
    part = table[table.dataset == "toy"]
    np.testing.assert_array_equal(part.iou, IOU)
    np.testing.assert_array_equal(part.tuned_iou, TUNED_IOU)
    np.testing.assert_array_equal(part.mean_mask_iou, MEAN_IOU)
    assert part["class"].tolist() == ["a", "a", "b", "b", "c"] and part.shown.tolist() == [
        1,
        0,
        0,
        0,
        1,
    ]


def test_numbers_in_the_title_by_hand(looks):
    """Three clips have all: 0.5, 0.7, 0.2 at 0.5, 0.6, 0.7, 0.5 at the other cut, 0.4, 0.3, 0.1 of the mean mask."""
    title = " ".join(masks.draw_masks(validate_figure(RAW, "toy"), looks)[0].get_suptitle().split())

    def told(*values, sign=""):
        return f"{np.mean(values):{sign}.3f} ± {4.302653 * np.std(values, ddof=1) / 3**0.5:.3f}"

    assert (
        f"toy: overlap (IoU) with the true masks of 3 held-out clips {told(0.5, 0.7, 0.2)} at 0.5, "
        in title
    )
    assert (
        f"{told(0.6, 0.7, 0.5)} at the cut that is best on 45 others; the mean mask of these, cut likewise, "
        in title
    )
    first, second = told(0.1, 0.4, 0.1, sign="+"), told(0.2, 0.4, 0.4, sign="+")
    assert (
        f"{told(0.4, 0.3, 0.1)}: paired differences {first} and {second} (95 % intervals over clips)"
        in title
    )
    assert title.count("overlap (IoU)") == 2 and "I2ST, 1-shot" in title


def test_examples_are_what_was_taken_out(looks):
    canvas, _ = masks.draw_masks(validate_figure(RAW, "toy"), looks)
    assert [part.get_suptitle() for part in canvas.subfigs] == [
        "toy: a; overlap 0.50 at 0.5, 0.60 at the other cut",
        "toy: c; overlap 0.90 at 0.5, 0.90 at the other cut",
        "other: a; overlap 0.50 at 0.5, 0.60 at the other cut",
        "other: c; overlap 0.90 at 0.5, 0.90 at the other cut",
    ]
    axes, found = canvas.subfigs[1].axes, taken("toy")
    assert [axes[row * FRAMES].get_ylabel() for row in range(3)] == ["frame", "true", "predicted"]
    for number in range(FRAMES):
        np.testing.assert_array_equal(
            axes[number].images[0].get_array(), np.moveaxis(found["1.frames"][number], 0, -1)
        )
        for row, name in ((1, "true"), (2, "predicted")):
            image = axes[row * FRAMES + number].images[0]
            np.testing.assert_array_equal(image.get_array(), found[f"1.{name}"][number])
            assert (image.norm.vmin, image.norm.vmax) == (0, 1)


def test_masks_of_a_teacher_are_called_its_own(tmp_path):
    path = tmp_path / "toy.npz"
    np.savez(path, **taken("toy") | {"provider": np.array("seem")})
    canvas, _ = masks.draw_masks(validate_figure(RAW, "toy"), [["ssv2_full", "I2ST", path]])
    assert "with seem's masks of 3 held-out clips" in " ".join(canvas.get_suptitle().split())
    assert [canvas.subfigs[0].axes[row * FRAMES].get_ylabel() for row in range(3)] == [
        "frame",
        "seem's",
        "predicted",
    ]


def test_too_few_clips_with_instances(tmp_path):
    path = tmp_path / "toy.npz"
    np.savez(path, **taken("toy") | {"iou": np.array([np.nan] * 4 + [0.5])})
    with pytest.raises(
        FsarError, match=r"^0 clips with instances are too few to measure; raise `masks.held_out`$"
    ):
        masks.draw_masks(validate_figure(RAW, "toy"), [["ssv2_full", "I2ST", path]])
