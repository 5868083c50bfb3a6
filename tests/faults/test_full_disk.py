"""A disk that is full at every stage: a clear message, nothing half-written is taken for whole, and the run goes on once there is
space."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.faults.runs import TABLE, Project

pytestmark = pytest.mark.faults
# What is yet to be made when the disk fills up, first the stage itself, and how many bytes are left free.
STAGES = {
    "decode": (["stores/frames", "stores/features", "results/models", "results/runs", "results/tables"], 128 * 1024),
    "feature": (["stores/features", "results/models", "results/runs", "results/tables"], 128 * 1024),
    "checkpoint": (["results/models", "results/runs", "results/tables"], 48 * 1024),
    "table": (["results/tables"], 12 * 1024),
}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill_up(place, free: int) -> None:
    """A ballast file that leaves `free` bytes."""
    with open(place / "ballast", "wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(place).free - free)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stage", STAGES)
def test_full_at_a_stage(small_disk, undisturbed, ledger, stage):
    (missing, free), whole = STAGES[stage], undisturbed[0]
    # What Snakemake says goes to another disk.
    project = Project(small_disk / "project", log=small_disk.parent / "run.log")
    shutil.copytree(whole.path, project.path)
    for name in missing:
        shutil.rmtree(project.path / name)
    fill_up(small_disk, free)
    status, said = project.run(TABLE)
    told = [line for line in said.splitlines() if line.startswith("fsar: error: ")]
    space = ("No space left on device", "the disk is full")
    assert status == 2 and told and all(any(words in line for words in space) for line in told), said[-6000:]
    (small_disk / "ballast").unlink()
    project.ok(TABLE)
    lost = project.differences(whole)
    ledger.add(f"disk full at {stage} time", 1, int(not lost), len(lost))
    assert not lost
