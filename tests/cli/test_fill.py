"""`fsar fill`: a job is skipped where everything it was made from is as it was, and done again where any of it changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.backbones.demo_cnn import DemoCNN
from fsar_core.config import Card
from fsar_core.data.index import index_identity, read_index, write_index
from fsar_core.data.probing import build_index
from fsar_core.models import backbone_weights
from fsar_core.specs import (
    BackboneSpec,
    ClassifierSpec,
    Component,
    FeatureSpec,
    MaskSpec,
    SaliencySpec,
)
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import file_sha256, read_json, write_json
from tests.builders import toy_card, toy_dataset, toy_frame_spec, write_code_video

CLASSES = {"train": 2, "val": 1, "test": 1}
CLIPS = 17  # a class: rows 0..33 train, 34..50 validate, 51..67 test; row 64 on is the second shard file
FRAMES = toy_frame_spec(count=2, size=16)
MASKS = MaskSpec(
    frames=FRAMES,
    provider=Component(name="annotated"),
    source="masks/{folder}/{video}.png",
    version=1,
)
FEATURES = FeatureSpec(
    frames=FRAMES,
    backbone=BackboneSpec(name="demo_cnn", params={"dim": 8}, weights="trained:toy", version=1),
    cut="layer4",
    crop=16,
)
CLASSIFIER = ClassifierSpec(
    features=FEATURES, epochs=1, batch=8, lr=0.01, weight_decay=0.0, hidden=4, dropout=0.0, kernel=1, rectified=True,
    loss="cross_entropy", seed=0,
)  # fmt: skip
SPECS = {
    "frames": FRAMES,
    "features": FEATURES,
    "masks": MASKS,
    "saliency": SaliencySpec(classifier=CLASSIFIER),
}


class Project:
    """A data set of 68 clips, its index, and a store of every kind, in one folder."""

    def __init__(self, root: Path, stores: Place | None = None) -> None:
        self.root, self.videos, self.stores = root, root / "data" / "toy", stores or root
        self.index_file, self.weights, self.classifier = (
            root / "index.tsv",
            root / "cnn.pt",
            root / "classifier.pt",
        )

    @property
    def index(self):
        return read_index(self.index_file)

    def video(self, row: int) -> Path:
        return self.videos / self.index.file[row]

    def masks(self, row: int) -> Path:
        clip = self.index.loc[row]
        return self.videos / "masks" / Path(clip.file).parent.name / f"{Path(clip.file).stem}.png"

    def make_index(self) -> None:
        entries = (
            self.index[["split", "class", "path", "group"]]
            if self.index_file.exists()
            else self.entries
        )
        write_index(
            self.index_file, build_index(entries, Card.model_validate(toy_card()), self.videos)
        )

    def plan(self, kind: str) -> None:
        self.run("plan", kind, "--index", self.index_file, "--clips-per-job", 64)

    def fill(self, kind: str, job: int = 0, code: int = 0) -> None:
        options = {
            "frames": ["--folder", self.videos],
            "masks": ["--folder", self.videos, "--frames", self.stores / "frames"],
            "features": [
                "--frames",
                self.stores / "frames",
                "--weights",
                self.weights,
                "--device",
                "cpu",
            ],
            "saliency": ["--features", self.stores / "features", "--weights", self.classifier],
        }[kind]
        receipt = self.receipt_path(kind, job)
        self.run(
            "fill",
            kind,
            "--index",
            self.index_file,
            "--job",
            job,
            "--receipt",
            receipt,
            *options,
            code=code,
        )

    def seal(self, kind: str) -> None:
        assert main(["seal", "--store", str(self.stores / kind), "--max-failures", "0.1"]) == 0

    def run(self, verb: str, kind: str, *words, code: int = 0) -> None:
        words = [verb, "--spec", SPECS[kind].json_text, "--store", self.stores / kind, *words]
        assert main([str(word) for word in words]) == code

    def receipt_path(self, kind: str, job: int = 0) -> Place:
        return self.stores / kind / "receipts" / f"{job}.json"

    def receipt(self, kind: str, job: int = 0) -> dict:
        return read_json(self.receipt_path(kind, job), "")

    def save_weights(self, seed: int) -> None:
        torch.manual_seed(seed)
        torch.save(DemoCNN(dim=8).state_dict(), self.weights)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project in which every job is done and every store sealed."""
    project = Project(tmp_path_factory.mktemp("finished"))
    made = toy_dataset(project.root, classes=CLASSES, clips=CLIPS, frames=6, height=32, width=32)
    project.entries = made.entries
    project.make_index()
    for row in range(34):
        masks = np.full((6 * 32, 32), row + 1, np.uint8)
        project.masks(row).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(masks).save(project.masks(row))
    project.save_weights(0)
    for kind, jobs in (("frames", 2), ("masks", 1), ("features", 2)):
        _make(project, kind, jobs)
    words = [
        "train-classifier",
        "--spec",
        CLASSIFIER.json_text,
        "--features",
        project.root / "features",
    ]
    words += ["--index", project.index_file, "--device", "cpu", "--out", project.classifier]
    assert main([str(word) for word in (*words, "--history", project.root / "history.csv")]) == 0
    _make(project, "saliency", 2)
    return project.root


def _make(project: Project, kind: str, jobs: int) -> None:
    project.plan(kind)
    for job in range(jobs):
        project.fill(kind, job)
    project.seal(kind)


@pytest.fixture
def project(finished, tmp_path) -> Project:
    shutil.copytree(finished, tmp_path / "project")
    return Project(tmp_path / "project")


def shards(project: Project, kind: str) -> dict[str, str]:
    """SHA-256 of every shard file of a store."""
    folder = project.root / kind / "data.zarr"
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "zarr.json"]
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}


def is_done_again(project: Project, capsys, kind: str, job: int = 0) -> bool:
    """Ask for a job and say whether it was done again; the command must say either."""
    capsys.readouterr()
    before = project.receipt_path(kind, job).read_text()
    project.fill(kind, job)
    said = capsys.readouterr().out
    again = project.receipt_path(kind, job).read_text() != before  # it says how long the job took
    assert ("already done from the same inputs" in said) == (not again), said
    return again


JOBS = [
    ("frames", 0),
    ("frames", 1),
    ("masks", 0),
    ("features", 0),
    ("features", 1),
    ("saliency", 0),
    ("saliency", 1),
]


@pytest.mark.parametrize(("kind", "job"), JOBS)
def test_a_job_whose_inputs_are_the_same_is_skipped_and_says_so(project, capsys, kind, job):
    assert not is_done_again(project, capsys, kind, job)


@pytest.mark.parametrize(
    ("kind", "job"), [("frames", 0), ("masks", 0), ("features", 0), ("saliency", 0)]
)
def test_a_receipt_that_does_not_say_its_inputs_is_not_trusted(project, capsys, kind, job):
    receipt = project.receipt(kind, job)
    del receipt["inputs"]
    write_json(project.receipt_path(kind, job), receipt)
    assert is_done_again(project, capsys, kind, job)
    assert not is_done_again(project, capsys, kind, job)


def test_other_versions_are_another_input(project, capsys):
    receipt = project.receipt("frames", 1)
    assert "threads" not in receipt["inputs"]["versions"]
    receipt["inputs"]["versions"]["numpy"] = "1.0"
    write_json(project.receipt_path("frames", 1), receipt)
    assert is_done_again(project, capsys, "frames", 1)


def test_the_clip_index_holds_the_sums_of_the_videos(project):
    index = project.index
    assert index.sha256.tolist() == [file_sha256(project.video(row)) for row in range(len(index))]
    assert list(index)[-1] == "sha256"


def test_a_video_that_changed_after_the_index_was_made_is_refused(project, capsys):
    write_code_video(project.video(3), frames=6, clip=99, height=32, width=32)
    project.fill("frames", 0, code=2)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        f"fsar: error: {project.video(3)}: the video changed since the clip index was made; update the clip index with "
        "`snakemake -R clip_index -- TARGET`, with your target"
    )
    project.video(3).unlink()
    project.fill("frames", 0, code=2)
    assert (
        "the video is gone or cannot be read any more, since the clip index"
        in capsys.readouterr().err
    )
    # Nothing was taken away.
    assert project.receipt("frames") and (project.root / "frames" / "manifest.json").exists()


def test_an_older_index_without_sums_still_notices_a_changed_video(project, capsys):
    index = project.index.drop(columns="sha256")
    write_index(project.index_file, index)
    assert not is_done_again(project, capsys, "frames", 0)
    write_code_video(project.video(3), frames=6, clip=99, height=32, width=32)
    assert is_done_again(project, capsys, "frames", 0)
    assert not is_done_again(project, capsys, "frames", 1)


def test_a_replaced_video_does_again_what_was_made_of_it_and_nothing_else(project, capsys):
    before = {kind: shards(project, kind) for kind in SPECS}
    write_code_video(project.video(66), frames=6, clip=99, height=32, width=32)
    project.make_index()
    for kind in ("frames", "masks", "features", "saliency"):
        jobs = [job for of, job in JOBS if of == kind]
        assert [job for job in jobs if is_done_again(project, capsys, kind, job)] == [1] * (
            kind != "masks"
        ), kind
        project.seal(kind)
        after = shards(project, kind)
        changed = {path for path in after if after[path] != before[kind][path]}
        assert all("/c/1/" in path for path in changed) and bool(changed) == (kind != "masks"), kind
    assert not any(is_done_again(project, capsys, kind, job) for kind, job in JOBS)


def test_a_repaired_video_is_read(project, capsys):
    video, whole = project.video(66), project.video(66).read_bytes()
    video.write_bytes(b"")
    project.make_index()
    assert is_done_again(project, capsys, "frames", 1)
    project.seal("frames")
    assert [failure["row"] for failure in project.receipt("frames", 1)["failures"]] == [66]
    assert is_done_again(project, capsys, "features", 1)
    video.write_bytes(whole)
    project.make_index()
    for kind in ("frames", "features"):
        assert is_done_again(project, capsys, kind, 1) and not is_done_again(
            project, capsys, kind, 0
        )
        assert project.receipt(kind, 1)["failures"] == []
        project.seal(kind)


def test_other_weights_change_every_job_of_a_feature_store(project, capsys):
    before = shards(project, "features")
    project.save_weights(0)
    assert not is_done_again(project, capsys, "features", 0)
    project.save_weights(1)
    assert all(is_done_again(project, capsys, "features", job) for job in (0, 1))
    assert not set(before.items()) & set(shards(project, "features").items())
    assert project.receipt("features")["inputs"]["weights"] == file_sha256(project.weights)
    project.seal("features")
    assert all(is_done_again(project, capsys, "saliency", job) for job in (0, 1))


def test_jobs_of_different_weights_are_not_sealed(project, capsys):
    project.save_weights(1)
    project.fill("features", 0)
    store = project.root / "features"
    assert main(["seal", "--store", str(store), "--max-failures", "0.1"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert (
        "made from another weights than the store's other jobs" in error
        and "`snakemake -R " in error
    )


def test_another_classifier_changes_a_saliency_store(project, capsys):
    saved = torch.load(project.classifier, weights_only=True)
    for value in saved["model"].values():
        value += 0.1
    torch.save(saved, project.classifier)
    assert all(is_done_again(project, capsys, "saliency", job) for job in (0, 1))
    assert project.receipt("saliency")["inputs"]["weights"] == file_sha256(project.classifier)


def test_other_masks_change_a_masks_store(project, capsys):
    Image.fromarray(np.zeros((6 * 32, 32), np.uint8)).save(project.masks(5))
    assert is_done_again(project, capsys, "masks")
    project.masks(6).unlink()
    assert is_done_again(project, capsys, "masks")
    assert [failure["row"] for failure in project.receipt("masks")["failures"]] == [6]


def test_manifests_say_what_their_stores_were_made_from(project):
    identity = index_identity(project.index)
    weights = {
        "features": file_sha256(project.weights),
        "saliency": file_sha256(project.classifier),
    }
    for kind in SPECS:
        inputs = json.loads((project.root / kind / "manifest.json").read_text())["inputs"]
        assert inputs["index"] == identity and inputs.get("weights") == weights.get(kind), kind


def test_weights_of_another_training_are_refused(project, capsys):
    """Nothing of the store is changed."""
    before = shards(project, "features")
    backbone_weights.save(project.weights, DemoCNN(dim=8).state_dict(), "another training")
    project.fill("features", code=2)
    (line,) = [
        text for text in capsys.readouterr().err.splitlines() if text.startswith("fsar: error: ")
    ]
    assert (
        f"{project.weights}: weights of the training another training, expected those of toy; "
        in line
    )
    assert (
        shards(project, "features") == before and (project.root / "features/manifest.json").exists()
    )


def test_a_feature_store_without_weights_is_refused(project, capsys):
    project.weights = ""
    project.fill("features", 0, code=2)
    assert "--weights: missing; a feature store needs a weights file" in capsys.readouterr().err


def test_stores_in_a_bucket(finished, tmp_path, bucket, capsys):
    shutil.copytree(finished, tmp_path / "project")
    project = Project(tmp_path / "project", bucket / "stores")
    for kind, jobs in (("frames", 2), ("features", 2)):
        _make(project, kind, jobs)
        assert not any(is_done_again(project, capsys, kind, job) for job in range(jobs))
    write_code_video(project.video(66), frames=6, clip=99, height=32, width=32)
    project.make_index()
    for kind in ("frames", "features"):
        assert not is_done_again(project, capsys, kind, 0) and is_done_again(
            project, capsys, kind, 1
        )
        project.seal(kind)
    inputs = read_json(bucket / "stores" / "features" / "manifest.json", "")["inputs"]
    assert inputs["weights"] == file_sha256(project.weights)
