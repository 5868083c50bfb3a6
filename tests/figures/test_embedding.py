"""t-SNE of an episode: silhouettes by hand, points and their classes, and the paired difference."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.figures import embedding
from fsar_core.papers.registry import validate_figure

WAY, SHOT, QUERY, EPISODES, SIZE = 2, 6, 4, 3, 5
TRX = {"head": {"name": "identity"}, "matching": {"name": "trx"}, "shot": 5}
RAW = {
    "kind": "embedding",
    "title": "Fig. 1: a toy",
    "where": "nowhere",
    "dataset": "ssv2_small",
    "episode": {"way": WAY, "shot": SHOT, "query": QUERY, "count": EPISODES},
    "perplexity": 5,
    "panels": [{"method": "TRX", **TRX}, {"method": "Wider", **TRX}],
}


def taken(distance):
    """What `fsar inspect` gives: classes 1 and 4 around points `distance` apart, with unit noise that all files share."""
    random = np.random.default_rng(0)
    classes = np.array([1, 4])
    support_labels = np.tile(np.repeat(classes, SHOT), (EPISODES, 1))
    query_labels = np.stack(
        [random.permutation(np.repeat(classes, QUERY)) for _ in range(EPISODES)]
    )
    sides = {}
    for side, labels in (("support", support_labels), ("query", query_labels)):
        sides[side] = random.standard_normal((*labels.shape, SIZE)).astype(np.float32)
        sides[side][..., 0] += distance * (labels == 4)
    return {
        **sides,
        "support_labels": support_labels,
        "query_labels": query_labels,
        "class_names": np.array(["zero", "one", "two", "three", "four"]),
        "dataset": np.array("toy"),
        "shot": np.array(SHOT),
    }


@pytest.fixture
def looks(tmp_path):
    found = []
    for method, distance in (("TRX", 2.0), ("Wider", 8.0)):
        np.savez(tmp_path / f"{method}.npz", **taken(distance))
        found.append(["ssv2_small", method, str(tmp_path / f"{method}.npz")])
    return found


def draw(looks, out, **changes) -> int:
    figure = validate_figure(RAW | changes, "toy").model_dump(mode="json")
    spec = json.dumps({"figure": figure, "way": WAY, "points": [], "looks": looks})
    return main(["figure", "--name", "toy", "--spec", spec, "--runs", "nowhere", "--out", str(out)])


def test_silhouette_by_hand():
    """Points 0, 1 and 4, 6 on a line: (b - a) / max(a, b) of each, a within, b to the other class."""
    rows = np.array([[0.0], [1.0], [4.0], [6.0]])
    expected = np.mean([(5 - 1) / 5, (4 - 1) / 4, (3.5 - 2) / 3.5, (5.5 - 2) / 5.5])
    assert embedding.silhouette(rows, np.array([0, 0, 1, 1])) == pytest.approx(expected)


def test_points_and_what_is_measured_of_them(looks, tmp_path):
    assert draw(looks, tmp_path / "fig") == 0
    table = pd.read_csv(tmp_path / "fig.csv")
    assert table.groupby(["method", "side", "class"]).size().to_dict() == {
        (method, side, name): count
        for method in ("TRX", "Wider")
        for side, count in (("support", SHOT), ("query", QUERY))
        for name in ("one", "four")
    }
    found = table.groupby("method").first()
    shares = [
        np.array(
            [
                embedding.silhouette(rows, labels)
                for rows, labels in zip(one["query"], one["query_labels"])
            ]
        )
        for one in (taken(2.0), taken(8.0))
    ]
    for name, values in zip(("TRX", "Wider"), shares):
        assert found.silhouette[name] == pytest.approx(values.mean(), abs=1e-4)
        assert found.ci95[name] == pytest.approx(4.303 * values.std(ddof=1) / 3**0.5, abs=1e-3)
    difference = shares[1] - shares[0]
    assert (
        found.difference["Wider"] == pytest.approx(difference.mean(), abs=1e-4)
        and difference.mean() > 0.2
    )
    assert found.difference_ci95["Wider"] == pytest.approx(
        4.303 * difference.std(ddof=1) / 3**0.5, abs=1e-3
    )
    assert np.isnan(found.difference["TRX"])
    # Classes 8 apart stay apart in the picture: nearest neighbours are of the same class.
    wide = table[table.method == "Wider"].reset_index()
    places = wide[["x", "y"]].to_numpy()
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.diag(
        [np.inf] * len(places)
    )
    assert (wide["class"].to_numpy()[distances.argmin(1)] == wide["class"]).all()


def test_the_files_and_their_words(looks, tmp_path):
    assert draw(looks, tmp_path / "one") == 0 and draw(looks, tmp_path / "two") == 0
    for ending in ("csv", "png", "pdf"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (
            tmp_path / f"two.{ending}"
        ).read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width > 1000
    canvas, _ = embedding.draw_embedding(validate_figure(RAW, "toy"), looks)
    assert "2-way 6-shot on toy, 4 queries a class" in canvas.get_suptitle()
    assert [axis.get_title().splitlines()[0] for axis in canvas.axes] == ["TRX", "Wider"]
    asked = validate_figure(RAW | {"episode": RAW["episode"] | {"shot": 30}}, "toy")
    title = embedding.draw_embedding(asked, looks)[0].get_suptitle()
    assert "6-shot (30 asked for, more than the classes have) on toy" in title


def test_too_few_clips_for_the_perplexity(looks, tmp_path, capsys):
    assert draw(looks, tmp_path / "fig", perplexity=20) == 2
    assert (
        "a perplexity of 20 needs more than the 20 clips of an episode; lower it"
        in capsys.readouterr().err
    )
