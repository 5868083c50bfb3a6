"""Class activations: maps over their greatest value, methods below one another on one query."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.errors import FsarError
from fsar_core.figures import cam
from fsar_core.figures._salience import COLORS
from fsar_core.papers.registry import validate_figure

FRAMES, GRID = 4, (2, 3)
PANELS = [
    {"method": "Bi-MHM", "head": {"name": "identity"}, "matching": {"name": "bimhm"}, "shot": 1},
    {"method": "I2ST", "head": {"name": "i2st"}, "matching": {"name": "global_local"}, "shot": 1},
]
EXAMPLES = [
    {"dataset": "kinetics100", "episode": 3, "query": 1},
    {"dataset": "ucf101", "episode": 0, "query": 0},
]
RAW = {
    "kind": "cam",
    "title": "Fig. 1: a toy",
    "where": "nowhere",
    "panels": PANELS,
    "examples": EXAMPLES,
}


def taken(dataset, method):
    """What `fsar inspect` gives; nothing speaks for the right class of kinetics100 under Bi-MHM."""
    random = np.random.default_rng(len(dataset + method))
    episode, query = next((e["episode"], e["query"]) for e in EXAMPLES if e["dataset"] == dataset)
    scale = 0.0 if (dataset, method) == ("kinetics100", "Bi-MHM") else 1e-6
    parts = {
        "query_frames": np.random.default_rng(0).integers(
            0, 256, (FRAMES, 3, 8, 8), dtype=np.uint8
        ),
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
        assert (tmp_path / f"one.{ending}").read_bytes() == (
            tmp_path / f"two.{ending}"
        ).read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert (
            picture.width > 800
            and len(set(picture.convert("L").resize((64, 64)).get_flattened_data())) > 20
        )


def test_maps_are_told_over_their_greatest_value(looks, tmp_path):
    assert draw(looks, tmp_path / "fig") == 0
    table = pd.read_csv(tmp_path / "fig.csv")
    assert list(table.columns[:6]) == [
        "dataset",
        "episode",
        "query",
        "query_class",
        "method",
        "predicted_class",
    ]
    assert len(table) == 2 * 2 * FRAMES * 6
    for example in EXAMPLES:
        for method in ("Bi-MHM", "I2ST"):
            part = table[(table.dataset == f"toy {example['dataset']}") & (table.method == method)]
            assert set(part.episode) == {example["episode"]} and set(part["query"]) == {
                example["query"]
            }
            assert set(part.predicted_class) == {"b" if method == "I2ST" else "c"}
            maps = taken(example["dataset"], method)[f"{example['episode']}.{example['query']}.cam"]
            expected = maps / maps.max() if maps.max() else maps
            found = (
                part.sort_values(["frame", "row", "column"]).relative.to_numpy().reshape(maps.shape)
            )
            np.testing.assert_allclose(found, expected, atol=1e-4)
            assert (found.max() == 1) == (maps.max() > 0)


def test_what_is_drawn(looks):
    canvas, _ = cam.draw_cam(validate_figure(RAW, "toy"), looks)
    title = canvas.get_suptitle()
    assert (
        "1-shot, on test clips of toy kinetics100, toy ucf101" in title
        and "Grad-CAM of the right class's" in title
    )
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


ACTIONNESS = np.array(
    [[0.1, 0.9, 0.5, 0.4], [4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]], np.float32
)
ROWS = np.array([7, 8, 11])
EVIDENCE = {
    "Bi-MHM": np.array([[1.0, 1.0, 1.0, 1.0], [4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
    "I2ST": np.array([[0.0, 2.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]),
}


@pytest.fixture
def boxed(looks, tmp_path):
    """(looks, watches): with what is told of the frames' actionness; nothing speaks for the third query under Bi-MHM."""
    watches = []
    for dataset, method, path in looks:
        episode, query = next(
            (e["episode"], e["query"]) for e in EXAMPLES if e["dataset"] == dataset
        )
        more = {
            f"{episode}.{query}.query_row": np.array(8),
            "evidence": EVIDENCE[method],
            "evidence_rows": np.array([11, 7, 8]),
        }
        np.savez(path, **taken(dataset, method) | more)
    for dataset in ("kinetics100", "ucf101"):
        path = tmp_path / f"{dataset}.saliency.npz"
        np.savez(path, dataset=np.array(f"toy {dataset}"), rows=ROWS, actionness=ACTIONNESS)
        watches.append([dataset, str(path)])
    return looks, watches


def test_frames_are_boxed_by_their_actionness(boxed):
    canvas, table = cam.draw_cam(validate_figure(RAW | {"salient": 1}, "toy"), *boxed)
    # Clip 8 is the second: its first frame is the most salient, its last the least.
    expected = ["salient", "ambiguous", "ambiguous", "non-salient"]
    assert table.groupby("frame")["group"].unique().map(list).tolist() == [
        [group] for group in expected
    ]
    for part in canvas.subfigs:
        edges = [part.axes[i].patches[0].get_edgecolor() for i in range(FRAMES)]
        assert edges == [to_rgba(COLORS[group]) for group in expected]
        assert not part.axes[FRAMES].patches


def test_shares_of_the_evidence_by_hand(boxed):
    """The clips 11, 7 and 8, of which the last is left out. Bi-MHM: clip 11 has 1, 2 and 1 quarters on salient, ambiguous and
    non-salient frames, clip 7 everything on its first frame, the least salient. I2ST: 1, 3 and 0 quarters, and 1, 2 and 1."""
    canvas, _ = cam.draw_cam(validate_figure(RAW | {"salient": 1}, "toy"), *boxed)
    lines = canvas.get_suptitle().splitlines()

    def mean(*values, sign=""):
        return f"{np.mean(values):{sign}.1f} ± {12.706205 * np.std(values, ddof=1) / 2**0.5:.1f}"

    at = lines.index(
        "toy kinetics100: share (%) of the evidence on salient, ambiguous, non-salient frames, 2 queries"
    )
    assert lines[at - 1] == "boxes: blue salient, red ambiguous, green non-salient"
    assert lines[at + 1] == f"Bi-MHM: {mean(25, 0)}, {mean(50, 0)}, {mean(25, 100)}"
    more = mean(75 - 50, 50 - 0, sign="+")
    assert lines[at + 2] == (
        f"I2ST: {mean(25, 25)}, {mean(75, 50)}, {mean(0, 25)}; ambiguous ones {more} to Bi-MHM, paired"
    )
    assert sum("share (%)" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"salient": 0}, "salient"),
        ({"panels": []}, "panels"),
        (
            {"panels": [PANELS[0], PANELS[0]]},
            "two panels have one name; names of methods must differ",
        ),
        (
            {"panels": [PANELS[0], PANELS[1] | {"shot": 5}]},
            "panels of different shots have different episodes",
        ),
        ({"examples": []}, "examples"),
    ],
)
def test_mistakes(changes, words):
    with pytest.raises(FsarError) as error:
        validate_figure(RAW | changes, "toy.yaml")
    assert words in str(error.value) and "\n" not in str(error.value)
