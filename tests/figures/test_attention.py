"""Figures of attention: the numbers of the maps, and that what is drawn is what was taken out of the run."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.errors import FsarError
from fsar_core.figures._attention import read_examples, received, square
from fsar_core.figures.task_attention import draw_task_attention
from fsar_core.papers.registry import validate_figure

WAY, SHOT, FRAMES, PATCHES = 3, 2, 4, 4
SUBJECT = {"method": "DMGAL", "head": {"name": "dmgal"}, "matching": {"name": "otam"}, "shot": 2}
EXAMPLES = [
    {"dataset": "ssv2_small", "episode": 3, "query": 1, "frame": 2},
    {"dataset": "ucf101", "episode": 0, "query": 0, "frame": 3},
]
NAMES = ["a", "b", "c"]


def raw(kind, **changes):
    return {
        "kind": kind,
        "title": "Fig. 1: a toy",
        "where": "nowhere",
        "subject": SUBJECT,
        "examples": EXAMPLES,
        "grid": 2,
    } | changes


def softmax(values, axes=1):
    flat = np.exp(values.reshape(*values.shape[:-axes], -1))
    return (flat / flat.sum(-1, keepdims=True)).reshape(values.shape)


def taken(seed, episode, query):
    """What `fsar inspect` gives of one example."""
    random = np.random.default_rng(seed)
    return {
        f"{episode}.{query}.{name}": value
        for name, value in {
            "query_frames": random.integers(0, 256, (FRAMES, 3, 8, 8), dtype=np.uint8),
            "support_frames": random.integers(0, 256, (WAY, SHOT, FRAMES, 3, 8, 8), dtype=np.uint8),
            "query_class": np.array("b"),
            "predicted_class": np.array("c" if seed else "b"),
            "support_classes": np.array(NAMES),
            "self_query": softmax(random.standard_normal((FRAMES, PATCHES, PATCHES))),
            "association_query": softmax(random.standard_normal((FRAMES - 1, PATCHES, PATCHES))),
            "cross": softmax(
                random.standard_normal((FRAMES, PATCHES, 1, WAY, SHOT, PATCHES)), axes=4
            ),
            "lambda_self": np.float32(0.25),
            "lambda_cross": np.float32(-0.5),
        }.items()
    }


@pytest.fixture
def looks(tmp_path):
    """Two files of `fsar inspect`, one a data set."""
    found = []
    for seed, example in enumerate(EXAMPLES):
        path = tmp_path / f"{example['dataset']}.npz"
        arrays = taken(seed, example["episode"], example["query"]) | taken(9, 7, 7)
        arrays |= {
            "dataset": np.array(f"toy{seed}"),
            "right_class": np.array([0.3, 0.5]),
            "shot": np.array(2),
        }
        np.savez(path, **arrays)
        found.append([example["dataset"], "DMGAL", str(path)])
    return found


def draw(kind, looks, out, **changes) -> int:
    figure = validate_figure(raw(kind, **changes), "toy").model_dump(mode="json")
    spec = json.dumps({"figure": figure, "way": WAY, "points": [], "looks": looks})
    return main(["figure", "--name", "toy", "--spec", spec, "--runs", "nowhere", "--out", str(out)])


def test_what_a_patch_receives():
    assert received(np.full((2, 5, 4), 0.25)).tolist() == [[1] * 4] * 2  # uniform
    one = np.zeros((5, 4))
    one[:, 2] = 1
    assert received(one).tolist() == [0, 0, 4, 0]
    assert received(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist() == [1.5, 0.5]


def test_patches_lie_row_by_row():
    assert square(np.arange(9)).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    with pytest.raises(FsarError, match=r"^6 patches form no square; use square crops$"):
        square(np.arange(6))


@pytest.mark.parametrize("kind", ["association", "self_attention", "task_attention"])
def test_the_files(kind, looks, tmp_path):
    assert draw(kind, looks, tmp_path / "one") == 0 and draw(kind, looks, tmp_path / "two") == 0
    with Image.open(tmp_path / "one.png") as picture:
        assert (
            picture.width >= 900
            and len(set(picture.convert("L").resize((64, 64)).get_flattened_data())) > 20
        )
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
    for ending in ("csv", "png", "pdf"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (
            tmp_path / f"two.{ending}"
        ).read_bytes()


def table_of(kind, looks, tmp_path, example):
    """The rows of one example, and what was taken out for it."""
    assert draw(kind, looks, tmp_path / "fig") == 0
    table = pd.read_csv(tmp_path / "fig.csv")
    assert list(dict.fromkeys(table.dataset)) == ["toy0", "toy1"]
    rows = table[table.dataset == f"toy{example}"]
    place = EXAMPLES[example]
    assert set(rows.episode) == {place["episode"]} and set(rows["query_class"]) == {"b"}
    assert set(rows.predicted_class) == {"c" if example else "b"}
    arrays = taken(example, place["episode"], place["query"])
    return rows, {name.rsplit(".", 1)[1]: value for name, value in arrays.items()}


@pytest.mark.parametrize("example", [0, 1])
def test_association_shows_a_frame_and_the_next(looks, tmp_path, example):
    rows, arrays = table_of("association", looks, tmp_path, example)
    first = EXAMPLES[example]["frame"]
    assert set(rows.frame) == {first}
    matrix = rows.pivot(index="patch", columns="next_patch", values="weight").to_numpy()
    np.testing.assert_allclose(matrix, arrays["association_query"][first - 1], atol=1e-4)


@pytest.mark.parametrize("example", [0, 1])
def test_self_attention_shows_every_frame(looks, tmp_path, example):
    rows, arrays = table_of("self_attention", looks, tmp_path, example)
    assert len(rows) == FRAMES * PATCHES
    for frame in range(FRAMES):
        found = rows[rows.frame == frame + 1].sort_values(["row", "column"]).received
        expected = [
            4 * np.mean([arrays["self_query"][frame, p, key] for p in range(PATCHES)])
            for key in range(PATCHES)
        ]
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("example", [0, 1])
def test_task_attention_shows_one_frame_of_every_class(looks, tmp_path, example):
    rows, arrays = table_of("task_attention", looks, tmp_path, example)
    frame = EXAMPLES[example]["frame"]
    cross = arrays["cross"][frame - 1, :, 0]  # patches way shot key_patches
    for label, name in enumerate(NAMES):
        part = rows[rows.support_class == name].sort_values(["row", "column"])
        assert len(part) == PATCHES and part.share.iloc[0] == pytest.approx(
            cross[:, label].sum() / PATCHES, abs=1e-4
        )
        # Over the shots; 1 is what a patch place has of all way * patches places under uniform attention.
        expected = [
            WAY * PATCHES * cross[:, label, :, key].sum(-1).mean() for key in range(PATCHES)
        ]
        np.testing.assert_allclose(part.received, expected, atol=1e-4)
    assert rows.groupby("support_class").share.first().sum() == pytest.approx(1, abs=1e-3)


def test_words_of_the_task_figure(looks):
    figure = validate_figure(raw("task_attention"), "toy")
    shown, right = read_examples(figure, looks)
    canvas, _ = draw_task_attention(figure, shown, right)
    title = canvas.get_suptitle()
    assert "DMGAL, 2-shot, on test clips of toy0, toy1" in title
    assert (
        "toy0: 40.0 ± 127.1 % of the cross attention is on the query's own class (2 episodes)"
        in title
    )
    assert "(uniform attention: 33 %)" in title
    assert [one.label for one in shown] == [
        "toy0, episode 3: b",
        "toy1, episode 0: b (taken for: c)",
    ]


def test_a_head_that_lacks_an_attention_is_one_line(looks, tmp_path, capsys):
    with np.load(looks[0][2]) as stored:
        arrays = {name: stored[name] for name in stored.files if not name.endswith("self_query")}
    np.savez(looks[0][2], **arrays)
    assert draw("self_attention", looks, tmp_path / "fig") == 2
    assert (
        "the head of this run has no 'self_query'; name one in the figure that has it"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(("damage", "words"), [(None, "missing; run snakemake"), (40, "damaged (")])
def test_a_missing_or_damaged_file_is_one_line(looks, tmp_path, capsys, damage, words):
    path = tmp_path / "ucf101.npz"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:damage])
    assert draw("association", looks, tmp_path / "fig") == 2
    error = capsys.readouterr().err
    assert f"{path}: {words}" in error and not (tmp_path / "fig.png").exists()
