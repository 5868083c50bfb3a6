"""Runs and repairs that are ended again and again at random moments: the same command goes on, and the outcome is that of an
undisturbed run, bit for bit."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import jobs
from tests.faults import small as small_project
from tests.faults.runs import TABLE, Project
from tests.faults.upkeep import damage_test_clip, repair

pytestmark = pytest.mark.faults


def kill_all(process: subprocess.Popen) -> None:
    """Snakemake and its jobs at once."""
    os.killpg(process.pid, signal.SIGKILL)


def kill_snakemake(process: subprocess.Popen) -> None:
    """Snakemake alone: its jobs live on while the next one starts."""
    os.kill(process.pid, signal.SIGKILL)


def terminate_all(process: subprocess.Popen) -> None:
    """As batch systems do: SIGTERM to all, and SIGKILL to who is still there after a while."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.timeout(3600)
def test_killed_at_random_moments(tmp_path, undisturbed, ledger):
    """The main job with all its rows."""
    survives(
        ledger,
        "SIGKILL of Snakemake and its jobs",
        kill_all,
        tries=20,
        whole=undisturbed,
        new=lambda number: Project(tmp_path / str(number)),
    )


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("fault", "end"),
    [
        ("SIGKILL of Snakemake alone", kill_snakemake),
        ("SIGTERM of Snakemake and its jobs", terminate_all),
    ],
    ids=["snakemake", "term"],
)
def test_ended_at_random_moments(tmp_path, small, ledger, fault, end):
    """The small project."""
    survives(
        ledger,
        fault,
        end,
        tries=10,
        whole=small,
        new=lambda number: small_project.project(tmp_path / str(number), small.source),
    )


def survives(
    ledger,
    fault: str,
    end: Callable[[subprocess.Popen], None],
    tries: int,
    whole: Project,
    new: Callable[[int], Project],
) -> None:
    """End runs again and again; the same command goes on, and every outcome is that of `whole`.

    One attempt in five meets the start of Snakemake, the others fall where all of them together go through the run once. If
    the run is done before, the rest go to another one.

    Args:
        new: makes a project in which nothing is done yet.
    """
    projects, chance = [new(1)], random.Random(fault)
    kills, saved = 0, set()
    while kills < tries:
        project = projects[-1]
        process = project.start(TABLE)
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 4))
        else:
            project.until_planned(process)
            time.sleep(chance.uniform(0, 2 * whole.seconds / (0.8 * tries)))
        if process.poll() is not None:
            assert process.returncode == 0, project.said[-6000:]
            projects.append(new(len(projects) + 1))
            continue
        project.seen |= project.receipts()
        end(process)
        process.wait(60)
        saved |= set(re.findall(r"saved in \S+", project.job_logs()))
        kills += 1
    again, lost, done = [], [], 0
    for project in projects:
        project.ok(TABLE)
        again += project.made_again()
        lost += project.differences(whole)
        done += len(project.seen)
        assert "Nothing to be done" in project.ok(TABLE)
    note = f"of {done} finished shard jobs {len(again)} made again; {len(saved)} trainings saved on SIGTERM"
    ledger.add(fault, kills, wrong=len(lost), note=note)
    assert not lost and not again


@pytest.mark.timeout(1800)
def test_a_training_is_asked_to_stop(tmp_path, small, ledger):
    """SIGTERM in its middle, three times: it saves the step it is in and goes on from there, not from its last validation."""
    whole, project = (
        small_project.copy_of(small, tmp_path / name) for name in ("whole", "stopped")
    )
    whole.configs = project.configs = (Path(__file__).with_name("long.yaml"),)
    (run,) = {cell.run.run_id: cell.run for cell in whole.study().cells("dmgal_table2")}.values()
    model = run.model.model_id
    checkpoint = f"results/models/{model}/checkpoint.pt"
    whole.ok(checkpoint)
    steps = []
    for _ in range(3):
        log = project.path / "results" / "logs" / "train_head" / f"{model}.log"
        log.unlink(missing_ok=True)
        process = project.start(checkpoint)
        while process.poll() is None and not re.search(
            r"training: +\d+%.*step/s", log.read_text() if log.exists() else ""
        ):
            time.sleep(0.2)
        time.sleep(1)
        terminate_all(process)
        for _ in range(100):  # Snakemake may be gone while its job still saves
            told = re.search(r"stopped after step (\d+), saved in", log.read_text())
            if told:
                break
            time.sleep(0.1)
        assert told, log.read_text()[-2000:]
        steps.append(int(told[1]))
    project.ok(checkpoint)
    lost = project.differences(whole)
    ledger.add(
        "SIGTERM of a training",
        len(steps),
        wrong=len(lost),
        note=f"went on after the steps {steps}",
    )
    assert not lost and steps == sorted(set(steps))


@pytest.mark.timeout(1800)
def test_a_repair_is_killed(tmp_path, small, ledger):
    """Twice at random moments: the same command finishes it, and nothing that was made of the store is made again."""
    project, log = small_project.copy_of(small, tmp_path / "project"), tmp_path / "log"
    (manifest,) = project.path.glob("stores/features/*/manifest.json")
    store, chance = manifest.parent, random.Random("repair")
    damage_test_clip(store)
    for number in range(2):
        process = repair(project, store, log)
        if number == 0:
            jobs.until(log, "removed data.zarr", process)
        time.sleep(chance.uniform(0, 8))
        assert process.poll() is None, jobs.read(log)[-3000:]
        jobs.kill(process)
    assert repair(project, store, log).wait(600) == 0, jobs.read(log)[-3000:]
    lost = project.differences(small)
    assert "Nothing to be done" in project.ok(TABLE)
    ledger.add("SIGKILL of `fsar repair`", 2, wrong=len(lost))
    assert not lost
