"""Accuracies by class: numbers from single queries, dots and bars in one order, and words."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fsar_core.__main__ import main
from fsar_core.evaluation.statistics import class_accuracies, class_gains, paired_difference
from fsar_core.figures import class_accuracy
from fsar_core.papers.kinds import Result
from fsar_core.papers.registry import validate_figure

NAMES = ["playing drums", "b", "c", "d"]
EPISODES, WAY = 300, 2
# Chances of a right query by class.
CHANCES = {
    "Ours": [0.3, 0.9, 0.6, 0.7],
    "TRX": [0.6, 0.5, 0.6, 0.4],
    "Baseline": [0.6, 0.9, 0.5, 0.7],
}
SGTM = {"head": {"name": "sgtm"}, "matching": {"name": "otam"}}
RAW = {
    "kind": "class_accuracy",
    "title": "Fig. 2: a toy",
    "where": "nowhere",
    "dataset": "kinetics100",
    "shot": 1,
    "methods": [{"method": name, **SGTM} for name in CHANCES],
}


def queries(method) -> pd.DataFrame:
    random = np.random.default_rng(0)
    classes = np.stack([random.permutation(4)[:WAY] for _ in range(EPISODES)]).reshape(-1)
    draws = np.random.default_rng(len(method)).random(classes.size)
    table = {
        "episode": np.repeat(np.arange(EPISODES), WAY),
        "clip": np.arange(classes.size),
        "class": classes,
    }
    right = (draws < np.array(CHANCES[method])[classes]).astype(int)
    return pd.DataFrame(table | {"predicted": 0, "correct": right, "margin": 0.0})


@pytest.fixture
def spec(tmp_path):
    points = []
    for method in CHANCES:
        folder = tmp_path / "runs" / method
        folder.mkdir(parents=True)
        queries(method).to_csv(folder / "queries.csv.gz", index=False)
        (folder / "summary.json").write_text(json.dumps({"dataset": "toy", "class_names": NAMES}))
        points.append([0, method, 1, 1, method])
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


def test_results_of_another_run_are_refused(spec, tmp_path, capsys):
    path = tmp_path / "runs" / "TRX" / "summary.json"
    path.write_text(json.dumps({"dataset": "toy", "class_names": NAMES, "run": "Ours"}))
    assert draw(spec, tmp_path) == 2
    assert (
        f"{path}: the results of the run Ours, expected those of TRX; " in capsys.readouterr().err
    )
    path.write_text(
        json.dumps({"dataset": "toy", "class_names": NAMES, "queries_sha256": "0" * 64})
    )
    assert draw(spec, tmp_path) == 2
    assert (
        "TRX/queries.csv.gz: damaged, or of another test than its summary.json"
        in capsys.readouterr().err
    )


def test_the_files(spec, tmp_path):
    assert draw(spec, tmp_path) == 0 and draw(spec, tmp_path, "b") == 0
    for ending in ("csv", "png", "pdf"):
        assert (tmp_path / "a" / f"fig.{ending}").read_bytes() == (
            tmp_path / "b" / f"fig.{ending}"
        ).read_bytes()
    table = pd.read_csv(tmp_path / "a" / "fig.csv")
    front = [
        "dataset",
        "shot",
        "method",
        "class",
        "accuracy",
        "ci95",
        "queries",
        "gain",
        "gain_ci95",
    ]
    assert list(table) == [*front, "mean_gain", "mean_gain_ci95", "run"]
    order = (
        class_accuracies(queries("Ours")).sort_values("accuracy", ascending=False)["class"].tolist()
    )
    for method in CHANCES:
        part = table[table.method == method]
        assert part["class"].tolist() == [NAMES[number] for number in order] and set(part.run) == {
            method
        }
        expected = class_accuracies(queries(method)).set_index("class").loc[order]
        np.testing.assert_allclose(
            part[["accuracy", "ci95"]], expected[["accuracy", "ci95"]], atol=1e-4
        )
        if method == "Ours":
            assert part[["gain", "gain_ci95", "mean_gain"]].isna().all().all()
            continue
        gains = class_gains(queries("Ours"), queries(method)).set_index("class").loc[order]
        np.testing.assert_allclose(part[["gain", "gain_ci95"]], gains[["gain", "ci95"]], atol=1e-4)
        mean = paired_difference(queries("Ours"), queries(method))
        assert set(part.mean_gain) == {round(mean.mean, 4)} and set(part.mean_gain_ci95) == {
            round(mean.ci95, 4)
        }


def test_what_is_drawn(spec, tmp_path):
    plan = json.loads(spec)
    figure = validate_figure(plan["figure"], "toy")
    points = [Result(*place, run=tmp_path / "runs" / run) for *place, run in plan["points"]]
    table = class_accuracy.accuracies(figure, points)
    canvas = class_accuracy.draw_class_accuracy(figure, table, way=5)
    left, trx, baseline = canvas.axes
    parts = {method: table[table.method == method] for method in CHANCES}
    drawn = [bars.lines[0].get_xdata().tolist() for bars in left.containers]
    assert drawn == [parts[method].accuracy.tolist() for method in CHANCES]
    assert [text.get_text() for text in left.get_legend().get_texts()] == list(CHANCES)
    assert left.yaxis_inverted() and left.lines[-1].get_xdata()[0] == 20
    assert [label.get_text() for label in left.get_yticklabels()] == parts["Ours"]["class"].tolist()
    for axes, method in ((trx, "TRX"), (baseline, "Baseline")):
        assert [bar.get_width() for bar in axes.patches] == parts[
            method
        ].gain.tolist() and axes.yaxis_inverted()
        assert axes.get_xlabel() == f"Ours minus {method} (percentage points)"
        told = parts[method].gain.abs() > parts[method].gain_ci95
        assert [bar.get_alpha() == 1 for bar in axes.patches] == told.tolist()
    assert trx.get_title().endswith("of 4 classes 2 are better and 1 worse beyond their interval")
    assert "measured on toy; whiskers: 95 % interval of every class" in canvas.get_suptitle()


def test_a_run_that_is_not_done(spec, tmp_path, capsys):
    (tmp_path / "runs" / "Baseline" / "summary.json").unlink()
    assert draw(spec, tmp_path) == 2
    assert (
        "Baseline/summary.json: missing; run snakemake to test this run" in capsys.readouterr().err
    )
