"""Trainings of a head that are killed and resumed, or whose inputs are removed under them.

The training is the small project's, started outside of Snakemake. `--memory-gib` is so small that it
reads every clip from its store at every step.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from fsar_core.storage.object_paths import ObjectPath
from tests.buckets import new_bucket
from tests.faults import jobs
from tests.faults import small as small_project
from tests.faults.jobs import Job
from tests.faults.runs import TABLE, Project, same
from tests.faults.test_changed_inputs import perturb
from tests.faults.upkeep import clean, damage_test_clip, repair

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

CLIP_BY_CLIP = {"memory_gib": 1e-9}
LENGTH = {"training": {"episodes": 120, "validations": 8}}
KILLS = 8


@dataclass(frozen=True)
class Trained:
    """A training that ran undisturbed.

    Attributes:
        job: reads clip by clip; its outputs are below the project's folder.
        model: where its checkpoint lies.
        seconds: it took.
    """

    job: Job
    model: Path
    seconds: float


def job_of(project: Project, rule: str) -> Job:
    return next(job for job in jobs.jobs_of(project, TABLE) if job.rule == rule)


def placed(job: Job, model: Path) -> Job:
    """A training whose outputs are written to another folder."""
    return job.having(checkpoint=model / "checkpoint.pt", history=model / "history.csv")


def results(model: Path) -> tuple[dict, list[dict]]:
    """The checkpoint, and the history without its clock."""
    with open(model / "history.csv", newline="") as stream:
        history = [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(stream)
        ]
    return torch.load(model / "checkpoint.pt", weights_only=True), history


def equal(left: Path, right: Path) -> bool:
    """Whether two trainings ended with the same model and history."""
    (state, history), (other, others) = results(left), results(right)
    return same(state, other) and history == others


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    job = placed(
        job_of(small, "train_head").with_spec(**LENGTH).having(**CLIP_BY_CLIP), folder / "model"
    )
    started = time.monotonic()
    assert jobs.run(small.path, job.words, folder / "log") == 0, jobs.read(folder / "log")[-4000:]
    return Trained(job, folder / "model", time.monotonic() - started)


def test_killed_at_random_moments(tmp_path, small, trained, ledger):
    """SIGKILL again and again: the same command resumes the training, which ends as if nothing had happened."""
    chance, log = random.Random("head training"), tmp_path / "log"
    kills, finished, resumed = 0, [], 0
    model = tmp_path / "0"
    while kills < KILLS:
        resumed += (model / "last.pt").exists()
        process = jobs.start(small.path, placed(trained.job, model).words, log)
        try:
            process.wait(chance.uniform(0, trained.seconds))
        except subprocess.TimeoutExpired:
            jobs.kill(process)
            kills += 1
            continue
        assert process.returncode == 0, jobs.read(log)[-4000:]
        finished.append(model)
        model = tmp_path / str(len(finished))
    assert jobs.run(small.path, placed(trained.job, model).words, log) == 0, jobs.read(log)[-4000:]
    finished.append(model)
    jobs.errors(jobs.read(log))
    wrong = sum(not equal(model, trained.model) for model in finished)
    ledger.add(
        "SIGKILL of a training", kills, wrong=wrong, note=f"{resumed} resumed from a saved state"
    )
    assert not wrong


# -- what is done to the store of a training under way -------------------------------------------------------------------


@dataclass
class Reader:
    """A training that is stopped in its middle while something is done to its store."""

    project: Project
    job: Job
    folder: Path
    environment: dict[str, str]

    def __post_init__(self) -> None:
        self.model, self.log = self.folder / "model", self.folder / "train.log"
        self.folder.mkdir(parents=True, exist_ok=True)
        words = placed(self.job, self.model).words
        self.process = jobs.start(self.project.path, words, self.log, **self.environment)
        jobs.until_saved(self.model, self.process)
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def outcome(self, expected: Path) -> str:
        """`same`, `error`, or `wrong`: another number, or no message of one line."""
        status = self.process.wait(600)
        told = jobs.errors(jobs.read(self.log))
        if status == 0:
            return "same" if equal(self.model, expected) else "wrong"
        return "error" if status == 2 and len(told) == 1 else "wrong"


def finish(process: subprocess.Popen, log: Path, reader: Reader, removed: str) -> bool:
    """Let the training go on once `removed` is in the log or the command has ended.

    Returns:
        Whether the command left the store alone, and said that it is open.
    """
    jobs.until(log, removed, process)
    reader.go_on()
    status = process.wait(600)
    told = jobs.errors(jobs.read(log))
    assert status in (0, 2) and len(told) <= 1, jobs.read(log)[-3000:]
    return status == 2 or "in use by" in jobs.read(log)


def note(ledger, fault: str, outcome: str, refused: bool) -> None:
    detected = outcome == "error" or (outcome == "same" and refused)
    ledger.add(
        fault,
        1,
        detected=int(detected),
        wrong=int(outcome == "wrong"),
        note="refused" if refused else "",
    )
    assert outcome != "wrong"


@pytest.fixture
def features(small, tmp_path) -> tuple[Project, Path]:
    """A copy of the small project, and its feature store."""
    project = small_project.copy_of(small, tmp_path / "project")
    (manifest,) = project.path.glob("stores/features/*/manifest.json")
    return project, manifest.parent


def test_clean_beside_a_training(features, trained, tmp_path, ledger):
    project, store = features
    reader, log = Reader(project, trained.job, tmp_path / "reader", {}), tmp_path / "clean.log"
    cleaning = clean(project, tmp_path / "other", project.path / "stores", log)
    refused = finish(cleaning, log, reader, "removed\n")
    note(
        ledger,
        "`fsar clean` beside a training, stores in a folder",
        reader.outcome(trained.model),
        refused,
    )
    assert clean(project, tmp_path / "other", project.path / "stores", log).wait(300) == 0
    assert not store.exists()


def test_repair_beside_a_training(features, trained, tmp_path, ledger, small):
    project, store = features
    damage_test_clip(store)
    reader, log = Reader(project, trained.job, tmp_path / "reader", {}), tmp_path / "repair.log"
    repairing = repair(project, store, log)
    refused = finish(repairing, log, reader, "removed data.zarr")
    note(
        ledger,
        "`fsar repair` beside a training, stores in a folder",
        reader.outcome(trained.model),
        refused,
    )
    assert repair(project, store, log).wait(600) == 0, jobs.read(log)[-3000:]
    assert not project.differences(small, ("stores/",))


def test_refill_beside_a_training(features, trained, tmp_path, ledger):
    """A job of the store whose weights changed writes its shards only when nobody reads them any more."""
    project, store = features
    before = {
        path: path.read_bytes()
        for path in store.rglob("*")
        if "/c/" in str(path) and path.is_file()
    }
    (weights,) = (project.path / "weights/trained").glob("*.pt")
    job = job_of(project, "fill_features")
    reader, log = Reader(project, trained.job, tmp_path / "reader", {}), tmp_path / "fill.log"
    perturb(weights)
    filling = jobs.start(project.path, job.words, log)
    time.sleep(2 * trained.seconds / 3)
    reader.go_on()
    outcome = reader.outcome(trained.model)
    assert filling.wait(600) == 0, jobs.read(log)[-3000:]
    waited = "waiting" in jobs.read(log)
    ledger.add(
        "refill of a store beside a training",
        1,
        wrong=int(outcome == "wrong"),
        note="the job waited" if waited else "",
    )
    assert outcome != "wrong"
    assert any(path.read_bytes() != data for path, data in before.items())


# -- the same with stores in a bucket ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_bucket(small, s3_address) -> Callable[[], tuple[ObjectPath, dict[str, str]]]:
    """Makes a bucket with a copy of the small project's stores; returns its address and the environment."""

    def make() -> tuple[ObjectPath, dict[str, str]]:
        with pytest.MonkeyPatch.context() as environment:
            root = new_bucket(s3_address, environment) / "stores"
            files = [
                path
                for path in (small.path / "stores").rglob("*")
                if path.is_file() and "locks" not in path.parts
            ]
            for path in sorted(files, key=lambda path: path.stat().st_mtime_ns):
                (root / path.relative_to(small.path / "stores").as_posix()).write_bytes(
                    path.read_bytes()
                )
            return root, {
                name: value for name, value in os.environ.items() if name.startswith("AWS_")
            }

    return make


@pytest.mark.parametrize("command", ["clean", "repair"])
def test_beside_a_training_from_a_bucket(
    command, in_bucket, features, trained, tmp_path, ledger, monkeypatch
):
    project, _ = features
    root, environment = in_bucket()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (manifest,) = project.path.glob("stores/features/*/manifest.json")
    store, log = root / "features" / manifest.parent.name, tmp_path / "command.log"
    if command == "repair":
        damage_test_clip(store)
    job = trained.job.having(
        features=store, index=root / Path(trained.job["--index"]).relative_to("stores").as_posix()
    )
    reader = Reader(project, job, tmp_path / "reader", environment)
    if command == "clean":
        process, removed = clean(project, tmp_path / "other", root, log, **environment), "removed\n"
    else:
        process, removed = repair(project, store, log, **environment), "removed data.zarr"
    refused = finish(process, log, reader, removed)
    note(
        ledger,
        f"`fsar {command}` beside a training, stores in a bucket",
        reader.outcome(trained.model),
        refused,
    )
