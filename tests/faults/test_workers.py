"""Decoding processes that are killed from outside, as the kernel does where memory is short: no clip is lost."""

from __future__ import annotations

import json
import random
import shlex
import signal
import subprocess
import time
from pathlib import Path

import av
import numpy as np
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
    return next(
        job
        for job in jobs.jobs_of(project, TABLE)
        if job.rule == "fill_frames" and job["--job"] == "0"
    )


def failures(project: Project, job: jobs.Job) -> list[dict]:
    return json.loads((project.path / job["--receipt"]).read_text())["failures"]


def shards(project: Project) -> dict[str, bytes]:
    return {
        name: data for name, data in project.outcome().items() if name.startswith("stores/frames/")
    }


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
    ledger.add(
        "SIGKILL of a decoding process",
        killed,
        wrong=wrong,
        note=f"{retried} hit a clip, which was retried",
    )
    assert not wrong


def write_noise(path: Path, frames: int, side: int) -> None:
    """A video that takes more than a second to decode."""
    chance = np.random.default_rng(0)
    pictures = [chance.integers(0, 255, (side * 3 // 2, side), np.uint8) for _ in range(4)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"g": "999", "qp": "1", "preset": "ultrafast"}
        )
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(pictures[number % 4], format="yuv420p")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def long_video(project: Project) -> None:
    """Let the first clip of the first job take so long that its process can be met, and index it."""
    (folder,) = (project.path / "data").glob("*/videos/train class 00")
    write_noise(folder / "clip_000.mp4", frames=160, side=512)
    job = next(job for job in jobs.jobs_of(project, TABLE) if job.rule == "clip_index")
    assert jobs.run(project.path, job.words, project.path / "index.log") == 0, jobs.read(
        project.path / "index.log"
    )


def kill_busy(process: subprocess.Popen) -> None:
    """SIGKILL to the worker that has the long video."""
    while not workers(process):
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    for worker in workers(process):
        worker.send_signal(signal.SIGKILL)


def test_killed_twice_with_the_same_clip(project, tmp_path, ledger):
    """The clip is lost for now, and `fsar status` names the command that gets it back."""
    long_video(project)
    job, log = fill(project), tmp_path / "log"
    assert jobs.run(project.path, job.words, log) == 0, jobs.read(log)[-3000:]
    whole = shards(project)
    (project.path / job["--receipt"]).unlink()
    log.unlink()

    process = jobs.start(project.path, job.words, log)
    kill_busy(process)
    assert jobs.until(log, "trying it once more, alone", process), jobs.read(log)[-3000:]
    kill_busy(process)
    assert process.wait(300) == 0, jobs.read(log)[-3000:]
    (lost,) = failures(project, job)
    assert lost["lost"] and lost["row"] == 0

    # Snakemake would run the job again first, because the index is newer, and find nothing lost.
    for other in jobs.jobs_of(project, TABLE):
        unfinished = (
            other.rule == "fill_frames" and not (project.path / other["--receipt"]).exists()
        )
        if unfinished or other.rule == "seal_frames":
            assert jobs.run(project.path, other.words, tmp_path / "seal.log") == 0
    remedy = listed_remedy(project, tmp_path / "status.log")
    assert remedy, jobs.read(tmp_path / "status.log")
    project.ok(*remedy)
    wrong = int(bool(failures(project, job)) or not whole.items() <= shards(project).items())
    ledger.add(
        "SIGKILL of two decoding processes with one clip",
        1,
        detected=1 - wrong,
        wrong=wrong,
        note="listed",
    )
    assert not wrong


def listed_remedy(project: Project, log: Path) -> list[str]:
    """The command of `fsar status` that tries lost clips again, without its first word."""
    words = (
        "status",
        "--config",
        str(project.source / "config.yaml"),
        "--workflow",
        str(project.source / "workflow"),
    )
    assert jobs.run(project.path, words, log) == 0, jobs.read(log)
    commands = jobs.read(log).split("`")[1::2]
    return next(
        (shlex.split(command)[1:] for command in commands if command.startswith("snakemake -R ")),
        [],
    )
