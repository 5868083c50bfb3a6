"""A masks store from plan to seal, through the command line: training clips alone, failures recorded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.config import Card
from fsar_core.data.index import write_index
from fsar_core.data.probing import build_index
from fsar_core.errors import FsarError
from fsar_core.specs import Component, MaskSpec
from fsar_core.store_kinds import masks as masks_store
from fsar_core.stores.reader import StoreReader
from tests.builders import toy_card, toy_dataset, toy_frame_spec

CLIPS = 3  # a class; two classes train
FRAMES = toy_frame_spec(count=2, size=16, views=2)
SPEC = MaskSpec(
    frames=FRAMES,
    provider=Component(name="annotated"),
    source="masks/{folder}/{video}.png",
    version=1,
)


@pytest.fixture
def toy(tmp_path):
    """A data set with masks of the training clips: clip i has an instance in the rows from 4 i on."""
    made = toy_dataset(tmp_path, clips=CLIPS, frames=6, height=32, width=32)
    index = build_index(made.entries, Card.model_validate(toy_card()), made.folder)
    write_index(tmp_path / "index.tsv", index)
    for clip in index[index.split == "train"].to_dict("records"):
        masks = np.zeros((6, 32, 32), np.uint8)
        masks[:, 4 * clip["row"] :] = 7
        path = made.folder / "masks" / clip["class"] / f"clip_{clip['row'] % CLIPS:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(masks.reshape(-1, 32)).save(path)
    return made


def run(verb, *words) -> int:
    return main([verb, *map(str, words)])


def made_store(toy, tmp_path, spec=SPEC, max_failures=0.0):
    store, common = (
        tmp_path / "masks",
        ("--spec", spec.json_text, "--index", tmp_path / "index.tsv"),
    )
    frames = tmp_path / "frames"
    plain = ("--spec", spec.frames.json_text, "--index", tmp_path / "index.tsv", "--store", frames)
    assert run("plan", *plain, "--clips-per-job", 64) == 0
    assert (
        run(
            "fill",
            *plain,
            "--job",
            0,
            "--receipt",
            frames / "receipts/0.json",
            "--folder",
            toy.folder,
        )
        == 0
    )
    assert run("seal", "--store", frames, "--max-failures", 1.0) == 0
    assert run("plan", *common, "--store", store, "--clips-per-job", 64) == 0
    where = (
        "--frames",
        frames,
        "--folder",
        toy.folder,
        "--store",
        store,
        "--receipt",
        store / "receipts/0.json",
    )
    assert run("fill", *common, *where, "--job", 0) == 0
    return store, run("seal", "--store", store, "--max-failures", max_failures)


def test_training_clips_alone(toy, tmp_path):
    store, status = made_store(toy, tmp_path)
    assert status == 0
    reader = StoreReader(store, "masks", SPEC)
    assert (reader.clips, reader.views, reader.clip_shape, reader.dtype) == (
        2 * CLIPS,
        2,
        [2, 16, 16],
        np.uint8,
    )
    for row in range(2 * CLIPS):
        for view in range(2):
            masks = reader.read_clip(row, view)
            assert (masks[:, 2 * row :] > 127).all() and (masks[:, : 2 * row] < 128).all()


def test_a_clip_without_masks_is_a_failure_and_counted(toy, tmp_path):
    first = next((toy.folder / "masks").rglob("clip_001.png"))
    first.unlink()
    store, status = made_store(toy, tmp_path, max_failures=0.2)
    assert status == 0
    manifest = json.loads((store / "manifest.json").read_text())
    assert [(f["row"], f["problem"]) for f in manifest["failures"]] == [
        (1, "no masks 'clip_001.png'")
    ]
    assert StoreReader(store, "masks", SPEC).failed == {1}
    assert run("seal", "--store", store, "--max-failures", 0.1) == 2


def test_a_clip_that_failed_in_the_frame_store_fails_here(toy, tmp_path):
    broken = toy.folder / toy.entries.path[2]
    broken.write_bytes(broken.read_bytes()[:40])
    write_index(
        tmp_path / "index.tsv",
        build_index(toy.entries, Card.model_validate(toy_card()), toy.folder),
    )
    store, _ = made_store(toy, tmp_path, max_failures=1.0)
    manifest = json.loads((store / "manifest.json").read_text())
    assert [(f["row"], f["problem"]) for f in manifest["failures"]] == [
        (2, "failed in the frame store")
    ]


def test_an_index_in_another_order_is_refused(toy, tmp_path):
    index = build_index(toy.entries, Card.model_validate(toy_card()), toy.folder)
    index["split"] = index["split"].replace({"train": "val", "val": "train"})
    with pytest.raises(FsarError, match="the training clips are not the first rows of this index"):
        masks_store.plan(SPEC, index, 64)
