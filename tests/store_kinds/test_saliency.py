"""A saliency store from the classifier's training to the seal, through the command line; and what is taken out of it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from fsar_core.__main__ import main
from fsar_core.data import intervals
from fsar_core.data.index import write_index
from fsar_core.errors import FsarError
from fsar_core.evaluation import saliency_inspection
from fsar_core.layers.frame_classifier import FrameClassifier, actionness
from fsar_core.saliency.classifier import train_classifier
from fsar_core.specs import ClassifierSpec, SaliencySpec
from fsar_core.store_kinds import saliency as saliency_store
from fsar_core.store_kinds.frames import plan as frame_plan
from fsar_core.stores.layout import create
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block, write_job
from tests.builders import toy_feature_spec, toy_feature_store, toy_frame_spec, toy_index

CLASSES = {"train": 4, "val": 3, "test": 3}
BROKEN = (3, 70)  # a training clip and one of the second shard file
SHAPE = dict(frames=4, dim=6, height=2, width=3)


def run(verb, *words) -> int:
    return main([verb, *map(str, words)])


@pytest.fixture
def toy(tmp_path):
    """(index, feature store, its spec, the spec of a saliency store): 90 clips in two views."""
    index = toy_index(CLASSES, clips=9)
    index.loc[list(BROKEN), "problem"] = "unreadable: toy"
    write_index(tmp_path / "index.tsv", index)
    features, spec = toy_feature_store(tmp_path / "stores", index, views=2, separation=2.0, **SHAPE)
    settings = dict(
        epochs=3,
        batch=8,
        lr=0.01,
        weight_decay=0.0,
        hidden=16,
        dropout=0.2,
        kernel=3,
        rectified=True,
    )
    classifier = ClassifierSpec(features=spec, loss="cross_entropy", seed=5, **settings)
    return index, features, spec, SaliencySpec(classifier=classifier)


def trained(toy, tmp_path):
    *_, features, _, spec = toy
    words = (
        "--spec",
        spec.classifier.json_text,
        "--features",
        features,
        "--index",
        tmp_path / "index.tsv",
    )
    out = tmp_path / "weights" / "classifier.pt"
    status = run(
        "train-classifier",
        *words,
        "--device",
        "cpu",
        "--out",
        out,
        "--history",
        tmp_path / "history.csv",
    )
    return out, status


def made_store(toy, tmp_path, classifier):
    *_, features, _, spec = toy
    store = tmp_path / "saliency"
    common = ("--spec", spec.json_text, "--index", tmp_path / "index.tsv", "--store", store)
    assert run("plan", *common, "--clips-per-job", 64) == 0
    for job in range(2):
        words = (
            "--job",
            job,
            "--receipt",
            store / f"receipts/{job}.json",
            "--features",
            features,
            "--weights",
            classifier,
        )
        assert run("fill", *common, *words) == 0
    return store, run("seal", "--store", store, "--max-failures", 0.1)


def test_the_classifier_is_trained_on_the_sound_training_clips(toy, tmp_path, capsys):
    index, features, spec, saliency = toy
    out, status = trained(toy, tmp_path)
    assert status == 0 and "35 clips of 4 classes" in capsys.readouterr().out
    history = pd.read_csv(tmp_path / "history.csv")
    assert list(history) == ["epoch", "loss", "accuracy"] and len(history) == 3
    saved = torch.load(out, weights_only=True)
    assert saved["run"] == saliency.classifier.digest
    sound = index[(index.split == "train") & (index.problem == "")]
    values = (
        StoreReader(features, "features", spec)
        .read(sound.row.to_numpy())
        .astype(np.float32)
        .mean((-2, -1))
    )
    labels = torch.tensor([int(name.rsplit(" ", 1)[1]) for name in sound["class"]])
    settings = saliency.classifier.model_dump(exclude={"features", "version"})
    expected, rows = train_classifier(torch.from_numpy(values), labels, **settings)
    assert all(torch.equal(saved["model"][name], value) for name, value in expected.items())
    assert history.loss.tolist() == pytest.approx([row["loss"] for row in rows])


def test_every_frame_of_every_clip_and_view(toy, tmp_path):
    index, features, spec, saliency = toy
    classifier, _ = trained(toy, tmp_path)
    store, status = made_store(toy, tmp_path, classifier)
    assert status == 0
    reader, given = (
        StoreReader(store, "actionness", saliency),
        StoreReader(features, "features", spec),
    )
    assert (reader.clips, reader.views, reader.clip_shape, reader.dtype) == (90, 2, [4], np.float32)
    assert reader.failed == set(BROKEN)
    model = FrameClassifier(6, 4, hidden=16, kernel=3).eval()
    model.load_state_dict(torch.load(classifier, weights_only=True)["model"])
    for clip in index.to_dict("records"):
        if clip["row"] in BROKEN:
            continue
        for view in range(2 if clip["split"] == "train" else 1):
            values = torch.from_numpy(
                given.read_clip(clip["row"], view).astype(np.float32).mean((-2, -1))
            )
            found = reader.read_clip(clip["row"], view)
            np.testing.assert_allclose(
                found, actionness(model(values[None]))[0].detach(), rtol=1e-5, atol=1e-5
            )
            assert found.max() > found.min()
        if clip["split"] != "train":
            assert not reader.read_clip(clip["row"], 1).any()
    assert len({tuple(reader.read_clip(row, view)) for row in (0, 1) for view in (0, 1)}) == 4


def test_a_store_is_verified_and_mended_as_any_other(toy, tmp_path, capsys):
    classifier, _ = trained(toy, tmp_path)
    store, _ = made_store(toy, tmp_path, classifier)
    assert run("verify", store) == 0
    before = (store / "manifest.json").read_bytes()
    shard = store / "data.zarr/actionness/c/1/0/0"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert run("verify", store) == 2
    told = capsys.readouterr()
    assert (
        "data.zarr/actionness/c/1/0/0" in told.out
        and f"mend with `fsar repair {store}`" in told.err
    )
    (store / "receipts/1.json").unlink()
    again, status = made_store(toy, tmp_path, classifier)
    assert status == 0 and (again / "manifest.json").read_bytes() == before


def test_another_classifier_is_refused(toy, tmp_path, capsys):
    _, features, _, saliency = toy
    classifier, _ = trained(toy, tmp_path)
    other = saliency.model_copy(
        update={"classifier": saliency.classifier.model_copy(update={"seed": 6})}
    )
    store = tmp_path / "other"
    common = ("--spec", other.json_text, "--index", tmp_path / "index.tsv", "--store", store)
    assert run("plan", *common, "--clips-per-job", 64) == 0
    words = (
        "--job",
        0,
        "--receipt",
        store / "receipts/0.json",
        "--features",
        features,
        "--weights",
        classifier,
    )
    assert run("fill", *common, *words) == 2
    assert (
        f"checkpoint of run {saliency.classifier.digest}, expected {other.classifier.digest}"
        in capsys.readouterr().err
    )
    assert not (store / "receipts/0.json").exists()


def test_a_classifier_of_other_clips_is_refused(toy, tmp_path, capsys):
    _, features, _, saliency = toy
    classifier, _ = trained(toy, tmp_path)
    saved = torch.load(classifier, weights_only=True)
    assert set(saved["inputs"]) == {"index", "features"}
    inputs = {**saved["inputs"], "index": "0" * 64}
    torch.save({**saved, "inputs": inputs}, classifier)
    store = tmp_path / "store"
    common = ("--spec", saliency.json_text, "--index", tmp_path / "index.tsv", "--store", store)
    assert run("plan", *common, "--clips-per-job", 64) == 0
    job = ("--job", 0, "--receipt", store / "receipts/0.json")
    files = ("--features", features, "--weights", classifier)
    assert run("fill", *common, *job, *files) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"{classifier}: trained on other clips than the clip index lists; make it" in line
    assert "-R train_classifier" in line
    # A checkpoint from before this was recorded is used as it is.
    del saved["inputs"]
    torch.save(saved, classifier)
    assert run("fill", *common, *job, *files) == 0


def test_features_are_read_piece_by_piece(toy, monkeypatch):
    _, features, spec, _ = toy
    reader, rows = StoreReader(features, "features", spec), np.array([0, 1, 2, 4, 5, 80])
    whole = saliency_store.pooled(reader, rows, view=0)
    monkeypatch.setattr(saliency_store, "FILE_CLIPS", 4)
    assert torch.equal(saliency_store.pooled(reader, rows, view=0), whole) and whole.shape == (
        6,
        4,
        6,
    )


# -- what is taken out for figures ------------------------------------------------------------------------------------------


@pytest.fixture
def scored(tmp_path):
    """(spec, saliency store, frame store, index) of clips of 12 frames, 4 of them stored; actionness counts on, frame by
    frame."""
    index = toy_index({"train": 2, "val": 1, "test": 2}, clips=4).assign(frames=12)
    frames = toy_frame_spec(count=4, size=10)
    features = toy_feature_spec().model_copy(update={"frames": frames, "crop": 6})
    settings = dict(
        epochs=1,
        batch=8,
        lr=0.01,
        weight_decay=0.0,
        hidden=16,
        dropout=0.2,
        kernel=1,
        rectified=True,
    )
    spec = SaliencySpec(
        classifier=ClassifierSpec(features=features, loss="cross_entropy", seed=0, **settings)
    )
    values = np.arange(20 * 4, dtype=np.float32).reshape(20, 1, 4)
    pictures = np.random.default_rng(0).integers(0, 256, (20, 1, 4, 10, 10, 3), np.uint8)
    failed = [{"row": 13, "path": "", "problem": "toy"}]
    for name, plan, block in (
        ("saliency", saliency_store.plan(spec, 20, 64), {"actionness": values}),
        ("frames", frame_plan(frames, index, 64), {"frames": pictures}),
    ):
        create(tmp_path / name, plan)
        write_job(
            tmp_path / name, 0, [Block(block, failed)], tmp_path / name / "receipts" / "0.json"
        )
        seal(tmp_path / name, max_failures=1.0)
    return spec, tmp_path / "saliency", tmp_path / "frames", index, values, pictures


def taken(scored, acting, examples):
    spec, store, frames, index, *_ = scored
    readers = (
        StoreReader(store, "actionness", spec),
        StoreReader(frames, "frames", spec.features.frames),
    )
    return saliency_inspection.taken_out(spec, *readers, index, acting, examples)


def test_what_is_taken_out(scored):
    *_, index, values, pictures = scored
    # Stored are the frames 1, 4, 7 and 10 of 12.
    acting = {index.path[0]: (4, 8), index.path[1]: (0, 1), index.path[2]: (1, 11)}
    found = taken(scored, acting, 3)
    assert found["rows"].tolist() == [row for row in range(20) if row != 13]
    np.testing.assert_array_equal(found["actionness"], values[found["rows"], 0])
    assert found["splits"].tolist() == ["train"] * 8 + ["val"] * 4 + ["test"] * 7
    assert found["inside"][:4].astype(int).tolist() == [
        [0, 1, 1, 0],
        [0, 0, 0, 0],
        [1, 1, 1, 1],
        [1, 1, 1, 1],
    ]
    # Of the sound test clips 12, 14, 15, 16, 17, 18, 19.
    assert [int(found[f"{i}.row"]) for i in range(3)] == [12, 16, 19] and "3.row" not in found
    np.testing.assert_array_equal(
        found["1.frames"], pictures[16, 0, :, 2:8, 2:8].transpose(0, 3, 1, 2)
    )
    assert "inside" not in taken(scored, None, 1)
    assert not [key for key in taken(scored, None, 0) if "." in key]
    assert len([key for key in taken(scored, None, 99) if key.endswith(".row")]) == 7


def test_the_verb(scored, tmp_path, capsys):
    spec, store, frames, index, *_ = scored
    write_index(tmp_path / "index.tsv", index)
    intervals.write(tmp_path / "intervals.tsv", {index.path[0]: (4, 8)})
    words = (
        "--spec",
        spec.json_text,
        "--store",
        store,
        "--frames",
        frames,
        "--index",
        tmp_path / "index.tsv",
    )
    out = tmp_path / "found.npz"
    listed = f"--intervals={tmp_path / 'intervals.tsv'}"
    assert run("inspect-saliency", *words, listed, "--examples", 2, "--out", out) == 0
    with np.load(out, allow_pickle=False) as found:
        assert (
            found["dataset"] == "toy"
            and found["inside"].sum() == 2 + 18 * 4
            and "1.frames" in found.files
        )
    assert run("inspect-saliency", *words, "--intervals=", "--examples", 2, "--out", out) == 0
    with np.load(out, allow_pickle=False) as found:
        assert "inside" not in found.files
    missing = f"--intervals={tmp_path / 'none.tsv'}"
    assert run("inspect-saliency", *words, missing, "--examples", 2, "--out", out) == 2
    assert "none.tsv: no such list" in capsys.readouterr().err


def test_no_test_clip_to_show(scored):
    spec, store, frames, index, *_ = scored
    with pytest.raises(FsarError, match="no sound test clip to show"):
        taken((spec, store, frames, index.assign(split="train")), None, 1)


def test_the_seal_names_its_spec(scored):
    spec, store, *_ = scored
    assert json.loads((store / "manifest.json").read_text())["spec"] == spec.model_dump(mode="json")
    other = spec.model_copy(update={"classifier": spec.classifier.model_copy(update={"epochs": 2})})
    with pytest.raises(
        FsarError, match=r"built by another spec: classifier\.epochs: expected 2, found 1"
    ):
        StoreReader(store, "actionness", other)
