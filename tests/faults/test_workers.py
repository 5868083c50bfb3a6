"""Decoding processes that are killed from outside, as the kernel does where memory is short: no clip is lost."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.faults import jobs
from tests.faults import small as small_project
from tests.faults.runs import TABLE, Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

KILLS = 6


def workers(process: subprocess.Popen) -> list[psutil.Process]:
    """Processes that decode for a job: children of the server that they are forked from."""
    try:
        children = psutil.Process(process.pid).children()
        return [worker for child in children for worker in child.children()]
    except psutil.NoSuchProcess:
        return []


def kill_one(process: subprocess.Popen, delay: float) -> bool:
    """SIGKILL to a worker, `delay` seconds after the first was there; False where the job ended before."""
    while not workers(process):
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    time.sleep(delay)
    for worker in workers(process):
        worker.send_signal(signal.SIGKILL)
        return True
    return False


@pytest.fixture
def project(small, tmp_path) -> Project:
    """The small project without its frames."""
    copy = small_project.copy_of(small, tmp_path / "project")
    for path in (copy.path / "stores/frames").glob("*/receipts/*.json"):
        path.unlink()
    for path in (copy.path / "stores/frames").glob("*/data.zarr/frames/c/*/*/*/*/*/*"):
        path.unlink()
    return copy


def fill(project: Project) -> jobs.Job:
    """The first job of the frame store."""
    return next(job for job in jobs.jobs_of(project, TABLE) if job.rule == "fill_frames" and job["--job"] == "0")


def failures(project: Project, job: jobs.Job) -> list[dict]:
    return json.loads((project.path / job["--receipt"]).read_text())["failures"]


def shards(project: Project) -> dict[str, bytes]:
    return {name: data for name, data in project.outcome().items() if name.startswith("stores/frames/")}


def missing_or_other(project: Project, whole: Project, job: jobs.Job) -> list[str]:
    """Shards of the job that differ from those of an undisturbed run."""
    ours, theirs = shards(project), shards(whole)
    made = json.loads((whole.path / job["--receipt"]).read_text())["files"]
    names = [name for name in theirs if any(name.endswith(key) for key in made)]
    assert len(names) == len(made) > 0
    return [name for name in names if ours.get(name) != theirs[name]]


def test_one_worker_killed(project, small, tmp_path, ledger):
    """At random moments of the job, which takes less than two seconds."""
    job, chance, log = fill(project), random.Random("decode workers"), tmp_path / "log"
    killed = wrong = retried = 0
    while killed < KILLS:
        (project.path / job["--receipt"]).unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        process = jobs.start(project.path, job.words, log)
        hit = kill_one(process, chance.uniform(0, 0.5))
        assert process.wait(300) == 0, jobs.read(log)[-3000:]
        if not hit:
            continue
        killed += 1
        retried += "trying it once more" in jobs.read(log)
        wrong += bool(failures(project, job) or missing_or_other(project, small, job))
    ledger.add("SIGKILL of a decoding process", killed, wrong=wrong, note=f"{retried} hit a clip, which was retried")
    assert not wrong


def test_every_worker_killed(project, small, tmp_path, ledger):
    """A clip whose process dies twice is lost for now: `fsar status` names the command that gets it back."""
    job, log = fill(project), tmp_path / "log"
    # One clip is enough: as long as workers are killed, each further one would be lost as well.
    process = jobs.start(project.path, job.words, log)
    while process.poll() is None and "left out as lost" not in jobs.read(log):
        for worker in workers(process):
            worker.send_signal(signal.SIGKILL)
        time.sleep(0.01)
    assert process.wait(300) == 0, jobs.read(log)[-3000:]
    lost = failures(project, job)
    assert lost and all(failure["lost"] for failure in lost), lost
    status, said = project.run(TABLE)
    told = status != 0 or bool(lost)
    remedy = _remedy(project, tmp_path / "status.log", said)
    assert remedy, said[-3000:]
    project.ok(*remedy)
    project.ok(TABLE)
    differing = project.differences(small)
    note = f"{len(lost)} clips lost, listed with the command that got them back"
    ledger.add("SIGKILL of every decoding process", 1, detected=int(told), wrong=int(bool(differing)), note=note)
    assert not differing


def _remedy(project: Project, log: Path, said: str) -> list[str]:
    """The command between backquotes that tries lost clips again, without its first word."""
    words = ("status", "--config", str(project.source / "config.yaml"), "--workflow", str(project.source / "workflow"))
    assert jobs.run(project.path, words, log) == 0, jobs.read(log)
    text = jobs.read(log) + said
    found = [part for part in text.split("`")[1::2] if part.startswith("snakemake -R ")]
    return found[0].split()[1:] if found else []
