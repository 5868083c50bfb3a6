"""What runs again after something that stores are made from has changed: exactly the jobs that it touches."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from fsar_core.config import load_config
from fsar_core.data import splits
from fsar_core.data.index import read_index
from fsar_core.storage.provenance import file_sha256
from fsar_core.study import Study
from tests.builders import write_code_video
from tests.workflow.folders import FRONT, REPOSITORY, overlay, smoke_config
from tests.workflow.test_own_data import CARD

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.timeout(1800)]

CLASSES = {"train": 3, "val": 3, "test": 3}
CLIPS = 8  # a class: 72 clips, of which 64 are in the first job of every store
LAST = 70  # a row of the second job


class Project:
    """A folder in which a feature store of a data set of its own is made.

    Args:
        source: the folder of Snakefile, workflow and config.yaml.
    """

    def __init__(self, path: Path, source: Path) -> None:
        self.path, self.source = path, source
        self.study = Study(load_config(source / "config.yaml"), source / "workflow")
        cells = self.study.experiments.cells("dmgal_table2")
        self.features = next(
            cell.run.features for cell in cells if cell.run.features.dataset == "mine"
        )
        self.weights = str(self.study.paths.weights(self.study.specs.training_of(self.features)))
        self.index = str(self.study.paths.index("mine"))
        self.frames_store, self.features_store = map(
            self.study.paths.store, (self.features.frames, self.features)
        )
        self.target = str(self.features_store / "manifest.json")

    def video(self, row: int) -> Path:
        return self.path / "data" / "mine" / read_index(self.path / self.index).file[row]

    def snakemake(self, *words: str) -> subprocess.CompletedProcess:
        fixed = ["--snakefile", self.source / "Snakefile", "--directory", self.path, "--cores", 2]
        fixed += ["--workflow-profile", self.source / "profiles" / "default"]
        command = [str(word) for word in (FRONT, *fixed, *words)]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.path, timeout=600)

    def ok(self, *words: str) -> str:
        done = self.snakemake(*words)
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout + done.stderr

    def has_nothing_to_do(self) -> bool:
        return "Nothing to be done" in self.ok("--", self.target)

    def shards(self) -> dict[str, str]:
        """SHA-256 of every shard file of both stores, by store and number."""
        found = {}
        for kind, store in (("frames", self.frames_store), ("features", self.features_store)):
            for path in (self.path / store / "data.zarr" / kind / "c").rglob("0"):
                if path.is_file():
                    number = path.relative_to(self.path / store).parts[3]
                    found[f"{kind} {number}"] = file_sha256(path)
        return found

    def failures(self) -> list[str]:
        manifests = [
            self.path / store / "manifest.json"
            for store in (self.frames_store, self.features_store)
        ]
        return [
            entry["problem"]
            for path in manifests
            for entry in json.loads(path.read_text())["failures"]
        ]

    def log(self, rule: str, job: int) -> str:
        store = self.frames_store if rule == "fill_frames" else self.features_store
        return (self.path / "results" / "logs" / rule / f"{store.name}.{job}.log").read_text()


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in after if after[name] != before[name]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Project:
    folder = tmp_path_factory.mktemp("source")
    here = tmp_path_factory.mktemp("project")
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(REPOSITORY / name, folder / name)
    shutil.copy(REPOSITORY / "Snakefile", folder)
    stores = {"frames": {"clips_per_job": 64}, "backbone": {"clips_per_job": 64}}
    changes = {
        "datasets": {"ssv2_small": "mine"},
        "presets": {"demo": {"episodes": {"way": 3}, **stores}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(overlay(smoke_config(), changes)))
    rows = [
        (split, f"{split} class {number}", f"{split}{number}/clip_{clip}.mp4", "")
        for split, classes in CLASSES.items()
        for number in range(classes)
        for clip in range(CLIPS)
    ]
    for number, (_, _, path, _) in enumerate(rows):
        write_code_video(here / "data" / "mine" / path, frames=12, clip=number, height=48, width=64)
    card = folder / "workflow" / "datasets" / "mine"
    card.mkdir()
    (card / "card.yaml").write_text(yaml.safe_dump(CARD | {"max_failures": 0.1}))
    splits.write(card / "split.tsv", pd.DataFrame(rows, columns=list(splits.COLUMNS)))
    project = Project(here, folder)
    project.ok("--", project.target)
    return project


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """The finished project with its time stamps and Snakemake's memory."""
    shutil.copytree(finished.path, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy", finished.source)


def test_a_replaced_video_changes_its_own_shards(project):
    before = project.shards()
    assert set(before) == {"frames 0", "frames 1", "features 0", "features 1"}
    project.video(LAST).write_bytes(project.video(LAST - 10).read_bytes())
    project.ok("-R", "clip_index", "--", project.target)
    touched = changed(before, project.shards())
    # The clip is no training clip: a backbone trained on the same frames is the same.
    assert touched == {"frames 1", "features 1"}
    assert "already done from the same inputs" in project.log("fill_frames", 0)
    assert "changed: files" in project.log("fill_frames", 1)
    assert "already done from the same inputs" in project.log("fill_features", 0)
    assert "changed: frames" in project.log("fill_features", 1)
    assert project.has_nothing_to_do()


def test_looking_again_at_unchanged_videos_makes_nothing_again(project):
    before = project.shards()
    project.ok("-R", "clip_index", "--", "index")
    assert project.has_nothing_to_do()
    project.ok("-R", "clip_index", "--", project.target)
    assert project.shards() == before and project.has_nothing_to_do()


def test_a_repaired_video_is_used(project):
    sound = project.shards()
    video = project.video(LAST)
    whole = video.read_bytes()
    video.write_bytes(b"no video")
    project.ok("-R", "clip_index", "--", project.target)
    assert len(project.failures()) == 2 and changed(sound, project.shards()) == {
        "frames 1",
        "features 1",
    }
    video.write_bytes(whole)
    project.ok("-R", "clip_index", "--", project.target)
    assert project.failures() == [] and project.shards() == sound
    assert project.has_nothing_to_do()


def test_other_weights_change_the_feature_store(project):
    before = project.shards()
    weights = project.path / project.weights
    state = torch.load(weights, weights_only=True)
    torch.save({key: value * 1.5 for key, value in state.items()}, weights)
    said = project.ok("--", project.target)
    assert changed(before, project.shards()) == {"features 0", "features 1"}, said
    assert project.has_nothing_to_do()
    # Training again gives the first weights, and so the first store.
    project.ok("-R", "train_backbone", "--", project.target)
    assert project.shards() == before and project.has_nothing_to_do()


def test_a_job_that_failed_is_done_again_by_the_next_run(project):
    """Snakemake puts the old receipt back with a new time stamp, which must not pass for a new one."""
    before = project.shards()
    video, other = project.video(LAST), project.video(LAST - 10).read_bytes()
    video.write_bytes(other)
    project.ok("-R", "clip_index", "--", "index")
    video.write_bytes(project.video(LAST - 20).read_bytes())
    failed = project.snakemake("--", project.target)
    assert (
        failed.returncode == 2
        and "the video changed since the clip index was made" in failed.stderr
    )
    video.write_bytes(other)
    project.ok("--", project.target)
    assert changed(before, project.shards()) == {"frames 1", "features 1"}
    assert project.has_nothing_to_do()
