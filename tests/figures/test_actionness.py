"""Actionness: boxes and lines of the examples, and what is told of the clips whose action is known to fill a part."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from fsar_core.__main__ import main
from fsar_core.evaluation.actionness import GROUPS, groups, separation
from fsar_core.evaluation.statistics import t95
from fsar_core.figures import actionness
from fsar_core.papers.registry import validate_figure

FRAMES = 6
SPLITS = ["train"] * 5 + ["val"] * 4 + ["test"] * 6
RAW = {
    "kind": "actionness",
    "title": "SGTM: a toy",
    "where": "nowhere",
    "datasets": ["partial", "ssv2_full", "ssv2_small"],
    "examples": 2,
    "salient": 2,
}


def taken(dataset, known):
    random = np.random.default_rng(len(dataset))
    found = {
        "dataset": np.array(dataset),
        "rows": np.arange(len(SPLITS)) + 10,
        "splits": np.array(SPLITS),
        "classes": np.array([f"class {i}" for i in range(len(SPLITS))]),
        "actionness": random.random((len(SPLITS), FRAMES)).astype(np.float32),
    }
    if known:
        found["inside"] = random.random((len(SPLITS), FRAMES)) < 0.5
        found["inside"][11] = True  # a clip with nothing outside
    for number, row in enumerate((19, 24)):
        frames = random.integers(0, 256, (FRAMES, 3, 8, 8), dtype=np.uint8)
        found |= {f"{number}.row": np.array(row), f"{number}.frames": frames}
    return found


@pytest.fixture
def watches(tmp_path):
    """Two data sets of the paper are one in truth, and so is their file."""
    np.savez(tmp_path / "partial.npz", **taken("parts", True))
    np.savez(tmp_path / "temporal.npz", **taken("whole", False))
    files = ("partial", "temporal", "temporal")
    return [[name, str(tmp_path / f"{file}.npz")] for name, file in zip(RAW["datasets"], files)]


def draw(watches, out) -> int:
    figure = validate_figure(RAW, "toy").model_dump(mode="json")
    spec = json.dumps({"figure": figure, "way": 5, "points": [], "looks": [], "watches": watches})
    return main(["figure", "--name", "toy", "--spec", spec, "--runs", "nowhere", "--out", str(out)])


def test_the_files(watches, tmp_path):
    assert draw(watches, tmp_path / "one") == 0 and draw(watches, tmp_path / "two") == 0
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
    for ending in ("csv", "png"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (
            tmp_path / f"two.{ending}"
        ).read_bytes()
    table = pd.read_csv(tmp_path / "one.csv")
    front = ["dataset", "split", "row", "class", "shown", "inside", "difference", "auc"]
    assert list(table) == [*front, *(f"actionness_{frame + 1}" for frame in range(FRAMES))]
    found = taken("parts", True)
    difference, auc = separation(found["actionness"], found["inside"])
    part = table[table.dataset == "parts"]
    # The clip with nothing outside is neither measured nor shown.
    kept = [row for row in found["rows"] if row != 21]
    assert part.row.tolist() == kept and part.shown.tolist() == [
        int(row in (19, 24)) for row in kept
    ]
    places = np.array(kept) - 10
    np.testing.assert_allclose(part.difference, difference[places], atol=1e-4)
    np.testing.assert_allclose(part.auc, auc[places], atol=1e-4)
    np.testing.assert_allclose(part.iloc[:, 8:], found["actionness"][places], atol=1e-4)
    assert part.inside.tolist() == found["inside"].sum(1)[places].tolist()
    # Nothing is known of the other: its examples alone.
    other = table[table.dataset == "whole"]
    assert (
        other.row.tolist() == [19, 24] and other[["inside", "difference", "auc"]].isna().all().all()
    )


def test_what_is_told_by_hand(watches):
    canvas, _ = actionness.draw_actionness(validate_figure(RAW, "toy"), watches)
    lines = canvas.get_suptitle().splitlines()
    assert lines[:2] == ["SGTM: a toy", "boxes: blue salient, red ambiguous, green non-salient"]
    found = taken("parts", True)
    difference, auc = separation(found["actionness"], found["inside"])
    names = {"train": "training clips (seen)", "val": "validation classes", "test": "test classes"}
    assert len(lines) == 2 + 3
    for line, (split, name) in zip(lines[2:], names.items()):
        own = [i for i, of in enumerate(SPLITS) if of == split and i != 11]
        half = {
            key: t95(len(own) - 1) * values[own].std(ddof=1) / len(own) ** 0.5
            for key, values in (("d", difference), ("a", auc))
        }
        assert line == (
            f"parts, {len(own)} {name}: inside minus outside of the action {difference[own].mean():+.2f} ± {half['d']:.2f}; "
            f"a frame inside is the more salient in {100 * auc[own].mean():.1f} ± {100 * half['a']:.1f} % of pairs"
        )


def test_examples_are_what_was_taken_out(watches):
    canvas, _ = actionness.draw_actionness(validate_figure(RAW, "toy"), watches)
    *examples, measured = canvas.subfigs
    assert [part.get_suptitle() for part in examples] == [
        "parts: class 9",
        "parts: class 14",
        "whole: class 9",
        "whole: class 14",
    ]
    for part, (dataset, number) in zip(
        examples, ((d, i) for d in ("parts", "whole") for i in (0, 1))
    ):
        found = taken(dataset, dataset == "parts")
        place = (9, 14)[number]
        *pictures, line = part.axes
        scores = found["actionness"][place]
        group = [GROUPS[g] for g in groups(scores, 2)]
        for i, axis in enumerate(pictures):
            np.testing.assert_array_equal(
                axis.images[0].get_array(), np.moveaxis(found[f"{number}.frames"][i], 0, -1)
            )
            assert axis.patches[0].get_edgecolor() == to_rgba(actionness.COLORS[group[i]])
        assert line.lines[0].get_xdata().tolist() == list(range(1, FRAMES + 1))
        np.testing.assert_array_equal(line.lines[0].get_ydata(), scores)
        grey = sorted(patch.get_x() + 0.5 for patch in line.patches)
        assert grey == (
            (np.flatnonzero(found["inside"][place]) + 1).tolist() if dataset == "parts" else []
        )
    left, right = measured.axes
    assert [len(axis.containers) for axis in (left, right)] == [1, 1]
    assert (left.lines[-1].get_xdata()[0], right.lines[-1].get_xdata()[0]) == (0.0, 0.5)
    assert len(left.containers[0].lines[0].get_xdata()) == 3


def test_without_known_intervals_nothing_is_measured(watches):
    figure = validate_figure(RAW | {"datasets": ["ssv2_full"]}, "toy")
    canvas, table = actionness.draw_actionness(figure, watches[1:2])
    assert len(canvas.subfigs) == 2 and len(table) == 2
    assert canvas.get_suptitle().splitlines() == [
        "SGTM: a toy",
        "boxes: blue salient, red ambiguous, green non-salient",
    ]
