"""Class activations: maps over their greatest value, methods below one another on one query."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.errors import FsarError
from fsar_core.paper import validate_figure
from fsar_core.reporting import cam

FRAMES, GRID = 4, (2, 3)
PANELS = [
    {"method": "Bi-MHM", "head": {"name": "identity"}, "matching": {"name": "bimhm"}, "shot": 1},
    {"method": "I2ST", "head": {"name": "i2st"}, "matching": {"name": "global_local"}, "shot": 1},
]
EXAMPLES = [{"dataset": "kinetics100", "episode": 3, "query": 1}, {"dataset": "ucf101", "episode": 0, "query": 0}]
RAW = {"kind": "cam", "title": "Fig. 1: a toy", "where": "nowhere", "panels": PANELS, "examples": EXAMPLES}


def taken(dataset, method):
    """What `fsar inspect` gives; nothing speaks for the right class of kinetics100 under Bi-MHM."""
    random = np.random.default_rng(len(dataset + method))
    episode, query = next((e["episode"], e["query"]) for e in EXAMPLES if e["dataset"] == dataset)
    scale = 0.0 if (dataset, method) == ("kinetics100", "Bi-MHM") else 1e-6
    parts = {
        "query_frames": np.random.default_rng(0).integers(0, 256, (FRAMES, 3, 8, 8), dtype=np.uint8),
        "cam": (scale * random.random((FRAMES, *GRID))).astype(np.float32),
        "query_class": np.array("b"),
        "predicted_class": np.array("b" if method == "I2ST" else "c"),
    }
    return {f"{episode}.{query}.{name}": value for name, value in parts.items()} | {
        "dataset": np.array(f"toy {dataset}")
    }


@pytest.fixture
def looks(tmp_path):
    found = []
    for dataset in ("kinetics100", "ucf101"):
        for method in ("Bi-MHM", "I2ST"):
            path = tmp_path / f"{dataset}.{method}.npz"
            np.savez(path, **taken(dataset, method))
            found.append([dataset, method, str(path)])
    return found


def draw(looks, out, **changes) -> int:
    figure = validate_figure(RAW | changes, "toy").model_dump(mode="json")
    spec = json.dumps({"figure": figure, "way": 5, "points": [], "looks": looks})
    return main(["figure", "--name", "toy", "--spec", spec, "--runs", "nowhere", "--out", str(out)])


def test_the_files(looks, tmp_path):
    assert draw(looks, tmp_path / "one") == 0 and draw(looks, tmp_path / "two") == 0
    for ending in ("csv", "png", "pdf"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width > 800 and len(set(picture.convert("L").resize((64, 64)).get_flattened_data())) > 20


def test_maps_are_told_over_their_greatest_value(looks, tmp_path):
    assert draw(looks, tmp_path / "fig") == 0
    table = pd.read_csv(tmp_path / "fig.csv")
    assert list(table.columns[:6]) == ["dataset", "episode", "query", "query_class", "method", "predicted_class"]
    assert len(table) == 2 * 2 * FRAMES * 6
    for example in EXAMPLES:
        for method in ("Bi-MHM", "I2ST"):
            part = table[(table.dataset == f"toy {example['dataset']}") & (table.method == method)]
            assert set(part.episode) == {example["episode"]} and set(part["query"]) == {example["query"]}
            assert set(part.predicted_class) == {"b" if method == "I2ST" else "c"}
            maps = taken(example["dataset"], method)[f"{example['episode']}.{example['query']}.cam"]
            expected = maps / maps.max() if maps.max() else maps
            found = part.sort_values(["frame", "row", "column"]).relative.to_numpy().reshape(maps.shape)
            np.testing.assert_allclose(found, expected, atol=1e-4)
            assert (found.max() == 1) == (maps.max() > 0)


def test_what_is_drawn(looks):
    canvas, _ = cam.cam(validate_figure(RAW, "toy"), looks)
    title = canvas.get_suptitle()
    assert "1-shot, on test clips of toy kinetics100, toy ucf101" in title and "Grad-CAM of the right class's" in title
    assert [part.get_suptitle() for part in canvas.subfigs] == [
        "toy kinetics100, episode 3: b",
        "toy ucf101, episode 0: b",
    ]
    first = canvas.subfigs[0]
    labels = [text.get_text() for axis in first.axes for text in axis.texts]
    assert labels == ["Bi-MHM\ntaken for: c", "I2ST\nright"]
    # frames, a row of maps for each method, the colour bar
    assert len(first.axes) == FRAMES * 3 + 1
    overlay = first.axes[2 * FRAMES].images[1]
    maps = taken("kinetics100", "I2ST")["3.1.cam"]
    np.testing.assert_allclose(overlay.get_array(), maps[0] / maps.max())
    assert (overlay.norm.vmin, overlay.norm.vmax) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"panels": []}, "panels"),
        ({"panels": [PANELS[0], PANELS[0]]}, "two panels have one name; names of methods must differ"),
        ({"panels": [PANELS[0], PANELS[1] | {"shot": 5}]}, "panels of different shots have different episodes"),
        ({"examples": []}, "examples"),
    ],
)
def test_mistakes(changes, words):
    with pytest.raises(FsarError) as error:
        validate_figure(RAW | changes, "toy.yaml")
    assert words in str(error.value) and "\n" not in str(error.value)
