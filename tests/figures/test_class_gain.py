"""Gains of classes: numbers from single queries, bars in their order, and words."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.errors import FsarError
from fsar_core.evaluation.statistics import class_gains, paired_difference
from fsar_core.figures import class_gain
from fsar_core.papers.kinds import Result
from fsar_core.papers.registry import validate_figure

NAMES = ["Pretending to put [something] behind [something] else", "b", "c", "d"]
EPISODES, WAY = 300, 2
# Chances of a right query, by shot: of the baseline, and of the method by class.
CHANCES = {1: (0.5, [0.2, 0.9, 0.5, 0.5]), 3: (0.6, [0.6, 0.9, 0.9, 0.6])}
RAW = {
    "kind": "class_gain",
    "title": "Fig. 1: a toy",
    "where": "nowhere",
    "dataset": "ssv2_full",
    "shots": [1, 3],
    "method": {"method": "I2ST", "head": {"name": "i2st"}, "matching": {"name": "global_local"}},
    "minus": {"method": "Bi-MHM", "head": {"name": "identity"}, "matching": {"name": "bimhm"}},
}


def queries(shot, method) -> pd.DataFrame:
    random = np.random.default_rng(shot)
    classes = np.stack([random.permutation(4)[:WAY] for _ in range(EPISODES)]).reshape(-1)
    draws = random.random((2, classes.size))
    plain, own = CHANCES[shot]
    right = draws[1] < np.array(own)[classes] if method == "I2ST" else draws[0] < plain
    table = {
        "episode": np.repeat(np.arange(EPISODES), WAY),
        "clip": np.arange(classes.size),
        "class": classes,
    }
    return pd.DataFrame(table | {"predicted": 0, "correct": right.astype(int), "margin": 0.0})


@pytest.fixture
def spec(tmp_path):
    points = []
    for number, shot in enumerate(RAW["shots"]):
        for method in ("I2ST", "Bi-MHM"):
            folder = tmp_path / "runs" / f"{method}-{shot}"
            folder.mkdir(parents=True)
            queries(shot, method).to_csv(folder / "queries.csv.gz", index=False)
            (folder / "summary.json").write_text(
                json.dumps({"dataset": "toy", "class_names": NAMES})
            )
            points.append([number, method, shot, shot, folder.name])
    figure = validate_figure(RAW, "toy").model_dump(mode="json")
    return json.dumps({"figure": figure, "way": WAY, "points": points})


def draw(spec, tmp_path, name="a") -> int:
    words = [
        "--name",
        "toy",
        "--spec",
        spec,
        "--runs",
        str(tmp_path / "runs"),
        "--out",
        str(tmp_path / name / "fig"),
    ]
    return main(["figure", *words])


def test_the_files(spec, tmp_path):
    assert draw(spec, tmp_path) == 0 and draw(spec, tmp_path, "b") == 0
    for ending in ("csv", "png", "pdf"):
        assert (tmp_path / "a" / f"fig.{ending}").read_bytes() == (
            tmp_path / "b" / f"fig.{ending}"
        ).read_bytes()
    with Image.open(tmp_path / "a" / "fig.png") as picture:
        assert picture.width > 1000
    table = pd.read_csv(tmp_path / "a" / "fig.csv")
    front = ["dataset", "shot", "method", "minus", "class", "gain", "ci95", "queries"]
    assert list(table) == [*front, "mean_gain", "mean_ci95", "run", "minus_run"]
    assert set(table.dataset) == {"toy"} and len(table) == 2 * 4
    for shot in (1, 3):
        part = table[table["shot"] == shot]
        method, plain = queries(shot, "I2ST"), queries(shot, "Bi-MHM")
        expected = class_gains(method, plain).set_index("class")
        assert part.gain.tolist() == sorted(part.gain, reverse=True)
        for row in part.to_dict("records"):
            right = expected.loc[NAMES.index(row["class"])]
            assert (row["gain"], row["ci95"]) == pytest.approx((right.gain, right.ci95), abs=1e-4)
            assert row["queries"] == right.queries
        mean = paired_difference(method, plain)
        assert set(part.mean_gain) == {round(mean.mean, 4)} and set(part.mean_ci95) == {
            round(mean.ci95, 4)
        }
        assert set(part.run) == {f"I2ST-{shot}"} and set(part.minus_run) == {f"Bi-MHM-{shot}"}


def test_what_is_drawn(spec, tmp_path):
    plan = json.loads(spec)
    figure = validate_figure(plan["figure"], "toy")
    points = [Result(*place, run=tmp_path / "runs" / run) for *place, run in plan["points"]]
    table = class_gain.gains(figure, points)
    canvas = class_gain.draw_class_gain(figure, table, way=5)
    one, three = canvas.axes
    for axes, shot in ((one, 1), (three, 3)):
        part = table[table["shot"] == shot]
        assert [bar.get_width() for bar in axes.patches] == part.gain.tolist()
        names = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
        assert names == part["class"].tolist() and axes.yaxis_inverted()
        assert axes.lines[-1].get_xdata()[0] == part.mean_gain.iloc[0]
        pale = [bar.get_alpha() < 1 for bar in axes.patches]
        assert pale == [row.ci95 >= abs(row.gain) for row in part.itertuples()]
    assert one.get_title().startswith("5-way 1-shot: ")
    assert one.get_title().endswith("of 4 classes 1 are better and 1 worse beyond their interval")
    assert three.get_title().endswith("of 4 classes 2 are better and 0 worse beyond their interval")
    assert one.get_xlabel() == "accuracy of I2ST minus Bi-MHM (percentage points)"
    assert "measured on toy; whiskers: 95 % interval of every class" in canvas.get_suptitle()


@pytest.mark.parametrize("run", ["I2ST-3", "Bi-MHM-3"])
def test_a_run_that_is_not_done(spec, tmp_path, capsys, run):
    (tmp_path / "runs" / run / "summary.json").unlink()
    assert draw(spec, tmp_path) == 2
    assert f"{run}/summary.json: missing; run snakemake to test this run" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"minus": RAW["method"]},
            "'I2ST' is compared to a method of the same name; names must differ",
        ),
        ({"shots": []}, "shots"),
        ({"shots": [1, 1]}, "shots [1, 1] name one twice"),
        ({"mnus": {}}, "unknown key 'mnus'; did you mean 'minus'?"),
    ],
)
def test_mistakes(changes, words):
    with pytest.raises(FsarError) as error:
        validate_figure(RAW | changes, "toy.yaml")
    assert words in str(error.value) and "\n" not in str(error.value)
