"""SEEM and CLIPSeg through the command line, from PNG frames to a sealed masks store, with random weights at toy size."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from fsar_core.__main__ import main
from fsar_core.components import registry
from fsar_core.components.registry import build
from fsar_core.data import class_prompts
from fsar_core.data.index import read_index, write_index
from fsar_core.errors import FsarError
from fsar_core.inputs.instance_masks import MaskSource
from fsar_core.mask_providers.seem import checkpoints
from fsar_core.specs import Component, MaskSpec
from fsar_core.storage import weight_files
from fsar_core.stores.reader import StoreReader
from tests.builders import toy_feature_spec, toy_frame_spec
from tests.mask_providers.teachers import png_dataset, tiny_clipseg, tiny_seem

FRAMES = toy_frame_spec(count=3, size=40, views=2)
CLIPS = 4  # of two training classes
TEXTS = ["brush hair", "pushing something left"]
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="transformers is not installed (the extra `clipseg`)",
)
TEACHERS = ["seem", pytest.param("clipseg", marks=needs_transformers)]
each = pytest.mark.parametrize("name", TEACHERS)


@dataclass
class Place:
    """A data set with its frame store, and the weights of a teacher."""

    folder: Path
    weights: dict[str, Path]

    def spec(self, name: str, **params) -> MaskSpec:
        index = read_index(self.folder / "index.tsv")
        return MaskSpec(
            frames=FRAMES,
            provider=Component(name=name, params={"size": 64} | params),
            weights=weight_files.identity(self.weights[name]),
            prompts=class_prompts.identity(index["class"][index.split == "train"]),
            version=registry.entry("instance_masks", name).attributes["version"],
        )

    def fill(self, spec: MaskSpec, *words, index: Path | None = None) -> tuple[Path, int]:
        """(store, status of the job)"""
        store, weights = self.folder / spec.key, self.weights[spec.provider.name]
        common = (
            "--spec",
            spec.json_text,
            "--index",
            index or self.folder / "index.tsv",
            "--store",
            store,
        )
        assert run("plan", *common, "--clips-per-job", 64) == 0
        where = (
            "--frames",
            self.folder / "frames",
            "--receipt",
            store / "receipts/0.json",
            "--weights",
            weights,
        )
        return store, run("fill", *common, "--job", 0, *where, *words)

    def made(self, spec: MaskSpec, *words) -> Path:
        store, status = self.fill(spec, *words)
        assert status == 0 and run("seal", "--store", store, "--max-failures", 0.0) == 0
        return store


def run(verb, *words) -> int:
    return main([verb, *map(str, words)])


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """Frames of the data set, and CLIPSeg's folder where transformers is installed."""
    folder = tmp_path_factory.mktemp("teachers")
    data, store = png_dataset(folder), folder / "frames"
    common = ("--spec", FRAMES.json_text, "--index", folder / "index.tsv", "--store", store)
    assert run("plan", *common, "--clips-per-job", 64) == 0
    assert (
        run("fill", *common, "--job", 0, "--receipt", store / "receipts/0.json", "--folder", data)
        == 0
    )
    assert run("seal", "--store", store, "--max-failures", 0.0) == 0
    if importlib.util.find_spec("transformers"):
        tiny_clipseg(folder / "clipseg")
    return folder


@pytest.fixture
def place(stored, monkeypatch) -> Place:
    weights = {"seem": tiny_seem(stored / "seem.pt", monkeypatch), "clipseg": stored / "clipseg"}
    return Place(stored, weights)


def read(store: Path, array: str) -> np.ndarray:
    reader = StoreReader(store, array)
    return np.stack(
        [
            [reader.read_clip(row, view) for view in range(reader.views)]
            for row in range(reader.clips)
        ]
    )


@each
def test_from_png_frames_to_masks(place, name, capsys):
    spec = place.spec(name)
    store = place.made(spec)
    masks, scores = read(store, "masks"), read(store, "score")
    assert masks.shape == (CLIPS, 2, 3, 40, 40) and masks.dtype == np.uint8
    assert scores.shape == (CLIPS, 2, 3) and scores.dtype == np.float32 and (abs(scores) <= 1).all()
    # As the network by itself has them, frame by frame, with the text of the clip's class.
    teacher = build("instance_masks", name, size=64, weights=place.weights[name], prompts=TEXTS)
    index, frames = (
        read_index(place.folder / "index.tsv"),
        StoreReader(place.folder / "frames", "frames"),
    )
    assert index["class"][:CLIPS].tolist() == ["BrushHair"] * 2 + ["Pushing [something] left"] * 2
    for row in range(CLIPS):
        for view in range(2):
            pictures = torch.from_numpy(frames.read_clip(row, view)).permute(0, 3, 1, 2)
            for number, picture in enumerate(pictures):
                with torch.inference_mode():
                    logits, score = teacher.look(picture[None], torch.tensor([row // 2]))
                soft = (255 * logits[0].sigmoid()).round().numpy()
                np.testing.assert_allclose(masks[row, view, number], soft, atol=1)
                assert scores[row, view, number] == pytest.approx(score.item(), abs=1e-5)
    # Something is there to be seen, and clips and classes differ.
    assert (
        masks.std() > 10 and len(np.unique(masks)) > 50 and len(np.unique(scores.round(4))) > CLIPS
    )
    receipt = json.loads((store / "receipts/0.json").read_text())
    assert 3 * CLIPS <= receipt["counts"]["frames"] <= 6 * CLIPS
    assert {key.split("/")[1] for key in receipt["files"]} == {"masks", "score"}
    assert run("verify", store) == 0
    assert capsys.readouterr().out.endswith("1 checked, none damaged\n")


@each
def test_another_class_is_another_prompt(place, name):
    """The same frames under the other class's text: other masks, other scores."""
    teacher = build("instance_masks", name, size=64, weights=place.weights[name], prompts=TEXTS)
    pictures = torch.from_numpy(
        StoreReader(place.folder / "frames", "frames").read_clip(0, 0)
    ).permute(0, 3, 1, 2)
    with torch.inference_mode():
        (one, first), (other, second) = (
            teacher.look(pictures, torch.full((3,), text)) for text in (0, 1)
        )
    assert not torch.allclose(one, other, atol=1e-3) and not torch.allclose(
        first, second, atol=1e-4
    )


@each
def test_a_damaged_score_is_found(place, name, capsys):
    store = place.made(place.spec(name, template="damaged {class}"))
    damaged = next(
        path
        for path in (store / "data.zarr/score").rglob("*")
        if path.is_file() and path.name != "zarr.json"
    )
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert run("verify", store) == 2
    told = capsys.readouterr()
    assert "data.zarr/score/c/0/" in told.out and "1 of 1 checked are damaged" in told.err


@each
def test_the_batch_is_no_matter(place, name):
    """Sums of another order: a mask may differ by one of 255 levels, a score in its last digits."""
    spec = place.spec(name, template="the {class}")
    store = place.made(spec, "--batch-frames", 16)
    masks, scores = read(store, "masks"), read(store, "score")
    (store / "receipts/0.json").unlink()  # or the job would be left as it is
    assert place.made(spec, "--batch-frames", 1) == store
    np.testing.assert_allclose(read(store, "masks").astype(int), masks.astype(int), atol=1)
    np.testing.assert_allclose(read(store, "score"), scores, atol=1e-5)


@each
@pytest.mark.parametrize(("precision", "limit"), [("bf16", 0.06), ("fp16", 0.02)])
def test_half_precision(place, name, precision, limit):
    """Soft masks and scores move by no more than rounding can make of them; bf16 has eight times coarser numbers than fp16."""
    whole, half = (place.made(place.spec(name, precision=p)) for p in ("float32", precision))
    assert whole != half
    difference = abs(read(whole, "masks").astype(float) - read(half, "masks")) / 255
    assert 0 < difference.mean() < limit
    scores = abs(read(whole, "score") - read(half, "score"))
    assert 0 < np.median(scores) < limit / 2 and scores.max() < 3 * limit


@each
def test_hard_masks(place, name):
    soft, hard = (place.made(place.spec(name, threshold=threshold)) for threshold in (None, 0.5))
    hard, soft = read(hard, "masks"), read(soft, "masks").astype(int)
    assert set(np.unique(hard)) == {0, 255}
    sure = abs(soft - 127.5) > 1
    np.testing.assert_array_equal((hard > 0)[sure], (soft > 127)[sure])


@each
def test_heads_read_them_as_they_do_any_masks(place, name):
    """Soft masks over 255, cut as the frames are."""
    store = StoreReader(place.made(place.spec(name)), "masks", place.spec(name))
    features = toy_feature_spec(frames=3, views=2, crop=32).model_copy(update={"frames": FRAMES})
    bank = MaskSource(store, features).load(np.arange(CLIPS), 1.0)
    told = bank.of_test_view(np.arange(CLIPS))
    expected = read(place.folder / place.spec(name).key, "masks")[:, 0, :, 4:36, 4:36] / 255
    np.testing.assert_allclose(told, expected, atol=1e-6)


@each
def test_without_weights_nothing_is_made_up(name):
    with pytest.raises(
        FsarError,
        match=rf"^{name}: no (checkpoint|weights); name (its file|their folder) in the preset",
    ):
        build("instance_masks", name, prompts=TEXTS).look(
            torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1)
        )


# -- what a user may have done wrong: one line, exit status 2 ----------------------------------------------------------------


@each
def test_weights_that_were_replaced(place, name, capsys):
    spec = place.spec(name).model_copy(update={"weights": "sha256:" + "0" * 64})
    assert place.fill(spec)[1] == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"{place.weights[name]} is not what this store is made with: expected sha256:000" in line


@each
def test_an_index_of_other_classes(place, name, tmp_path, capsys):
    index = read_index(place.folder / "index.tsv")
    index["class"] = index["class"].replace("BrushHair", "Brush Hair")
    write_index(tmp_path / "index.tsv", index)
    assert place.fill(place.spec(name), index=tmp_path / "index.tsv")[1] == 2
    assert "--index: the texts of its training classes have the digest" in capsys.readouterr().err


def test_a_checkpoint_of_another_network(place, tmp_path, capsys):
    state = torch.load(place.weights["seem"], weights_only=True)
    state.pop("backbone.norm0.weight")
    torch.save(state | {"model.head": torch.zeros(3)}, tmp_path / "other.pt")
    wrong = Place(place.folder, {"seem": tmp_path / "other.pt"})
    assert wrong.fill(wrong.spec("seem"))[1] == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert (
        f"{tmp_path}/other.pt: no weights of seem_focalt_v1" in line
        and "lacks 'backbone.norm0.weight'" in line
    )
    assert "has the unknown 'model.head'" in line and "Traceback" not in line


@needs_transformers
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            "no CLIPSeg as transformers writes it (",
        ),
        (
            lambda folder: (folder / "config.json").write_text("{}"),
            "no CLIPSeg as transformers writes it (",
        ),
        (lambda folder: (folder / "vocab.json").unlink(), "no CLIPSeg as transformers writes it ("),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 9),
            "no CLIPSeg as transformers writes it (",
        ),
        (
            lambda folder: altered(folder, drop="decoder.reduces.0.weight"),
            "network: missing 'decoder.reduces.0.weight'",
        ),
        (lambda folder: altered(folder, add="head.weight"), "network: unexpected 'head.weight'"),
    ],
)
def test_a_folder_that_is_no_clipseg(place, tmp_path, capsys, change, told):
    shutil.copytree(place.weights["clipseg"], tmp_path / "wrong")
    change(tmp_path / "wrong")
    wrong = Place(place.folder, {"clipseg": tmp_path / "wrong"})
    assert wrong.fill(wrong.spec("clipseg"))[1] == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"fsar: error: {tmp_path}/wrong: no ") and told in line


def altered(folder: Path, drop: str = "", add: str = "") -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    state = {key: value for key, value in state.items() if key != drop}
    save_file(
        state | ({add: torch.zeros(2)} if add else {}),
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


@needs_transformers
def test_clipseg_takes_whole_patches(place, capsys):
    assert place.fill(place.spec("clipseg", size=60))[1] == 2
    assert (
        "clipseg: size 60; expected a multiple of the network's patches of 8 pixels"
        in capsys.readouterr().err
    )


def test_clipseg_without_transformers(place, monkeypatch):
    line = r"^the provider 'clipseg' needs the library transformers: `pip install -e '.\[clipseg\]' -c constraints.txt`$"
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(FsarError, match=line):
        build("instance_masks", "clipseg", weights=place.folder)


@needs_transformers
def test_clipseg_asks_no_network(place, monkeypatch):
    """Not even where the machine is on the network."""

    def refuse(*_):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    build("instance_masks", "clipseg", size=64, weights=place.weights["clipseg"], prompts=TEXTS)


def test_the_choices_of_seem_are_the_published_checkpoints():
    assert registry.entry("instance_masks", "seem").parameters["checkpoint"].choices == tuple(
        checkpoints.CHECKPOINTS
    )
