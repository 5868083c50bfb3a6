"""The picture of a masks store: whose clips, in which order, and what is laid over what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.data.index import write_index
from fsar_core.errors import FsarError
from fsar_core.rendering import mask_store
from fsar_core.specs import Component, MaskSpec
from fsar_core.store_kinds import masks as masks_store
from fsar_core.stores import layout
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block, write_job
from tests.builders import toy_frame_spec, toy_index

FRAMES = toy_frame_spec(count=3, size=8)
CLIPS, FAILED = 12, 4
INDEX = toy_index({"train": 3, "val": 1, "test": 1}, clips=4)
PICTURES = np.random.default_rng(0).integers(0, 256, (len(INDEX), 1, 3, 8, 8, 3), dtype=np.uint8)
MASKS = np.random.default_rng(1).integers(0, 256, (CLIPS, 1, 3, 8, 8), dtype=np.uint8)
# The mean over a clip's frames falls with its row; within a clip the last frame is the lowest.
SCORES = (0.9 - 0.05 * np.arange(CLIPS)[:, None, None] - 0.01 * np.arange(3)).astype(np.float32)


def sealed(store, plan, arrays, failures=()):
    layout.create(store, plan)
    problems = [{"row": row, "path": "", "problem": "x"} for row in failures]
    write_job(store, 0, [Block(arrays, problems)], store / "receipts/0.json")
    seal(store, 1.0)
    return store


def spec_of(provider, **params) -> MaskSpec:
    return MaskSpec(frames=FRAMES, provider=Component(name=provider, params=params), version=1)


@pytest.fixture
def made(tmp_path):
    """made(provider, **params): masks and frames stores and the index, as arguments of `fsar look`."""
    from fsar_core.store_kinds import frames as frame_store

    sealed(tmp_path / "frames", frame_store.plan(FRAMES, INDEX, 64), {"frames": PICTURES})
    write_index(tmp_path / "index.tsv", INDEX)

    def make(provider, **params):
        spec = spec_of(provider, **params)
        plan = masks_store.plan(spec, INDEX, 64)
        arrays = {"masks": MASKS, "score": SCORES} if "score" in plan.shapes else {"masks": MASKS}
        sealed(tmp_path / provider, plan, arrays, [FAILED])
        where = (
            "--masks",
            tmp_path / provider,
            "--frames",
            tmp_path / "frames",
            "--index",
            tmp_path / "index.tsv",
        )
        return ["look", *map(str, where)]

    return make


def test_a_teachers_store(made, tmp_path, capsys):
    words = made("seem", template="a {class}")
    for name in ("one", "two"):
        assert main([*words, "--clips", "4", "--out", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{tmp_path}/one.png: 4 of 11 clips"
    for ending in ("csv", "png", "pdf"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (
            tmp_path / f"two.{ending}"
        ).read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.height > picture.width / 2
    table = pd.read_csv(tmp_path / "one.csv")
    assert list(table) == ["dataset", "row", "class", "prompt", "score", "lowest_score", "shown"]
    rows = [row for row in range(CLIPS) if row != FAILED]
    assert table.row.tolist() == rows and set(table.dataset) == {"toy"}
    np.testing.assert_allclose(table.score, SCORES[rows, 0].mean(-1), atol=1e-4)
    np.testing.assert_allclose(table.lowest_score, SCORES[rows, 0, -1], atol=1e-4)
    assert table.prompt.tolist() == [f"a train class {row // 4:02d}" for row in rows]
    # Ranks 0, 3, 7 and 10 of the eleven, the lowest score being row 11's.
    assert table.row[table.shown == 1].tolist() == [0, 3, 8, 11]


def test_masks_without_scores_are_shown_by_their_rows(made, tmp_path):
    assert main([*made("annotated"), "--clips", "3", "--out", str(tmp_path / "one")]) == 0
    table = pd.read_csv(tmp_path / "one.csv")
    assert (
        table.score.isna().all() and table.lowest_score.isna().all() and table.prompt.isna().all()
    )
    assert table.row[table.shown == 1].tolist() == [0, 6, 11]


def parts(words, provider, shown, **params):
    readers = {
        name: StoreReader(Path(words[words.index(f"--{name}") + 1]), name)
        for name in ("masks", "frames")
    }
    scores = StoreReader(readers["masks"].store, "score") if provider == "seem" else None
    spec = spec_of(provider, **params)
    table = mask_store.score_clips(spec, INDEX, readers["masks"], scores, shown)
    return mask_store.draw_overlays(spec, table, readers["masks"], readers["frames"], scores)


def test_the_lowest_score_is_on_top_and_every_frame_has_its_own(made):
    canvas = parts(made("seem"), "seem", 2)
    axes = np.array(canvas.axes).reshape(2, 3)
    for line, row in zip(axes, (11, 0)):
        assert [cell.get_title() for cell in line] == [f"{score:.3f}" for score in SCORES[row, 0]]
        assert line[0].get_ylabel() == f"train class {row // 4:02d}"
        for number, cell in enumerate(line):
            laid = mask_store.overlay_masks(PICTURES[row, 0], MASKS[row, 0])
            np.testing.assert_array_equal(cell.images[0].get_array(), laid[number])
    assert canvas.get_suptitle() == (
        "toy: masks of 'seem', 2 of 11 clips, evenly spaced by their scores, which stand above the frames"
    )


def test_frames_are_numbered_where_there_are_no_scores(made):
    canvas = parts(made("annotated"), "annotated", 20)
    axes = np.array(canvas.axes).reshape(11, 3)
    assert [cell.get_title() for cell in axes[0]] == ["frame 1", "frame 2", "frame 3"]
    assert (
        canvas.get_suptitle()
        == "toy: masks of 'annotated', 11 of 11 clips, evenly spaced by their rows"
    )


def test_masks_are_laid_over():
    """No mask: the grey picture. A full one: so much of the colour, so much of the picture."""
    frames = np.random.default_rng(2).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    grey = frames.astype(float).mean(-1, keepdims=True).repeat(3, -1)
    empty, full = (
        mask_store.overlay_masks(frames, np.full((2, 4, 4), value, np.uint8)) for value in (0, 255)
    )
    np.testing.assert_array_equal(empty, grey.round())
    share = mask_store.OPACITY
    np.testing.assert_allclose(
        full, (1 - share) * grey + share * 255 * np.array(mask_store.COLOR), atol=0.51
    )
    one = np.zeros((2, 4, 4), np.uint8)
    one[1, 2, 3] = 128
    changed = (mask_store.overlay_masks(frames, one) != empty).any(-1)
    assert np.argwhere(changed).tolist() == [[1, 2, 3]]


def test_a_store_in_which_everything_failed(tmp_path):
    plan = masks_store.plan(spec_of("annotated"), INDEX, 64)
    masks = np.zeros_like(MASKS)
    store = sealed(tmp_path / "masks", plan, {"masks": masks}, range(CLIPS))
    with pytest.raises(
        FsarError, match=r"^.*masks: no clip has masks; its manifest.json says what failed$"
    ):
        mask_store.score_clips(spec_of("annotated"), INDEX, StoreReader(store, "masks"), None, 3)
