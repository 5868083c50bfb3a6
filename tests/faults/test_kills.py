"""The demo's main job, killed again and again at random moments: the same command goes on, and the outcome is that of an
undisturbed run, bit for bit."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time

import pytest

from tests.faults.runs import TABLE, Project


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Project, float]:
    """A project whose main job ran through, and how long its jobs took, s."""
    project = Project(tmp_path_factory.mktemp("undisturbed"))
    process = project.start(TABLE)
    project.until_planned(process)
    started = time.monotonic()
    assert process.wait(1800) == 0, project.said[-6000:]
    return project, time.monotonic() - started


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
@pytest.mark.parametrize(
    ("fault", "end", "tries"),
    [
        ("SIGKILL of Snakemake and its jobs", kill_all, 20),
        ("SIGKILL of Snakemake alone", kill_snakemake, 10),
        ("SIGTERM of Snakemake and its jobs", terminate_all, 10),
    ],
    ids=["all", "snakemake", "term"],
)
def test_killed_at_random_moments(tmp_path, undisturbed, ledger, fault, end, tries):
    """One kill in five meets the start of Snakemake, the others fall where all of them together go through the run once."""
    whole, seconds = undisturbed
    project, chance = Project(tmp_path), random.Random(fault)
    kills, saved = 0, set()
    while kills < tries:
        process = project.start(TABLE)
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 4))
        else:
            project.until_planned(process)
            time.sleep(chance.uniform(0, 2 * seconds / (0.8 * tries)))
        if process.poll() is not None:
            assert process.returncode == 0, project.said[-6000:]
            break
        project.seen |= project.receipts()
        end(process)
        process.wait(60)
        kills += 1
        saved |= set(re.findall(r"saved in \S+", project.job_logs()))
    project.ok(TABLE)
    again, lost = project.made_again(), project.differences(whole)
    note = (
        f"of {len(project.seen)} finished shard jobs {len(again)} made again; {len(saved)} trainings saved on SIGTERM"
    )
    ledger.add(fault, kills, 0 if lost else kills, len(lost), note)
    assert not lost and not again
    assert "Nothing to be done" in project.ok(TABLE)
