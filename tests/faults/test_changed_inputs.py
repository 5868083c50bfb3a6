"""Inputs that change after a run: what is then made equals, bit for bit, a run from scratch on them.

`-R` names the rule whose inputs Snakemake cannot see. A run that does so is killed once on the way, and a
training that was interrupted before the change is not resumed.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest
import torch

from tests.builders import write_code_video
from tests.faults import jobs
from tests.faults import small as small_project
from tests.faults.runs import TABLE, Project, same

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

VIDEO = "videos/train class 01/clip_004.mp4"
AGAIN = "clip_index"  # the rule that has to be forced after a video changed
EVERY_KIND = ("stores/frames/", "stores/features/", "weights/", "results/models/")


def video(project: Project) -> Path:
    return project.path / "data" / small_project.DATASET / VIDEO


def forced(project: Project, rule: str) -> None:
    """`snakemake -R RULE -- results/tables/table2.csv`, after which nothing is left to do."""
    project.ok("-R", rule, "--", TABLE)
    assert "Nothing to be done" in project.ok(TABLE)


def killed_once(project: Project, rule: str, seed: str) -> None:
    """The same command, killed at a random moment before it is repeated."""
    process = project.start("-R", rule, "--", TABLE)
    project.until_planned(process)
    time.sleep(random.Random(seed).uniform(3, 20))
    assert process.poll() is None, "the run had ended before it could be killed"
    jobs.kill(process)
    forced(project, rule)


def interrupt_training(project: Project) -> None:
    """Start the training again and kill it, so that its state to resume from lies beside the checkpoint."""
    job = next(job for job in jobs.jobs_of(project, TABLE) if job.rule == "train_head")
    process = jobs.start(project.path, job.words, project.path / "training.log")
    jobs.until_saved(project.path / Path(job["--checkpoint"]).parent, process)
    jobs.kill(process)


def record(ledger, fault: str, differing: list[str]) -> None:
    """One attempt; it is wrong where any file differs."""
    ledger.add(fault, 1, wrong=int(bool(differing)), note=", ".join(differing[:3]))
    assert not differing


def differs_in_every_kind(left: Project, right: Project) -> bool:
    """Whether the change reached frames, features, weights and models."""
    differing = left.differences(right)
    return all(any(name.startswith(kind) for name in differing) for kind in EVERY_KIND)


def perturb(weights: Path, factor: float = 1.01) -> None:
    """Multiply the tensors of a weights file, which stays a valid file."""
    value = torch.load(weights, weights_only=True)
    torch.save(_scaled(value, factor), weights)


def _scaled(value, factor: float):
    if isinstance(value, dict):
        return {key: _scaled(part, factor) for key, part in value.items()}
    return value * factor if torch.is_tensor(value) and value.is_floating_point() else value


def test_repaired_and_replaced_video(tmp_path, small, ledger):
    """First a video that could not be read is repaired, then it is replaced by another of the same length."""
    project = small_project.project(tmp_path / "project", small.source)
    sound = video(project).read_bytes()
    video(project).write_bytes(b"no video")
    project.ok(TABLE)
    assert VIDEO in (project.path / "results/tables/dmgal_table2.left_out.csv").read_text()

    video(project).write_bytes(sound)
    forced(project, AGAIN)
    record(ledger, "`-R` after a video was repaired", project.differences(small))

    other = tmp_path / "other.mp4"
    write_code_video(other, small_project.FRAMES, clip=200)
    shutil.copy(other, video(project))
    killed_once(project, AGAIN, "replaced video")
    fresh = small_project.project(tmp_path / "fresh", small.source)
    shutil.copy(other, video(fresh))
    fresh.ok(TABLE)
    assert differs_in_every_kind(fresh, small)
    record(ledger, "`-R` after a video was replaced", project.differences(fresh))


def test_retrained_backbone(tmp_path, small, ledger):
    """Features of other weights are replaced when the backbone is trained again."""
    project = small_project.copy_of(small, tmp_path / "project")
    (weights,) = (project.path / "weights/trained").glob("*.pt")
    perturb(weights)
    project.ok(TABLE)
    features = ("stores/features/", "results/models/")
    changed = project.differences(small, features)
    assert all(any(name.startswith(kind) for name in changed) for kind in features), changed
    interrupt_training(project)
    forced(project, "train_backbone")
    differing = project.differences(small)
    record(
        ledger,
        "`-R` after the backbone's weights changed",
        [name for name in differing if "models/" not in name],
    )
    record(ledger, "training interrupted before its features changed", differing)


def test_replaced_weights_file(tmp_path, small, ledger):
    """Weights from a file of the user's: another file of the same name makes another store."""
    backbone = {"weights": "mine.pt", "training": None}
    source = small_project.source(tmp_path / "source", backbone=backbone)
    (trained,) = (small.path / "weights/trained").glob("*.pt")
    projects = {}
    for name in ("project", "fresh"):
        projects[name] = small_project.project(tmp_path / name, source)
        (projects[name].path / "weights").mkdir()
        shutil.copy(trained, projects[name].path / "weights/mine.pt")
        shutil.copytree(small.path / "stores/index", projects[name].path / "stores/index")
        shutil.copytree(small.path / "stores/frames", projects[name].path / "stores/frames")
    project, fresh = projects.values()
    project.ok(TABLE)
    for each in (project, fresh):
        perturb(each.path / "weights/mine.pt")
    project.ok(TABLE)
    assert "Nothing to be done" in project.ok(TABLE)
    fresh.ok(TABLE)
    made = [name for name in fresh.outcome() if name.startswith(("stores/", "results/"))]
    assert any(name.startswith("stores/features/") for name in made)
    theirs, ours = fresh.outcome(), project.outcome()
    record(
        ledger,
        "weights file replaced",
        [name for name in made if not same(theirs[name], ours.get(name))],
    )
