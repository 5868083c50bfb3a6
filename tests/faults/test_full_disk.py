"""A disk that is full at every stage: a clear message, nothing half-written is taken for whole, and the run goes on once there is
space."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.faults.runs import TABLE, Project

pytestmark = pytest.mark.faults
# Stage -> the folder of what it makes, how many bytes are left free when it begins, and what is then made with space at hand.
STAGES = {
    "decode": ("stores/frames", 128 * 1024, "stores/frames/*/manifest.json"),
    "feature": ("stores/features", 128 * 1024, "stores/features/*/manifest.json"),
    "checkpoint": ("results/models", 48 * 1024, TABLE),
    "table": ("results/tables", 12 * 1024, TABLE),
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
def test_full_at_every_stage(small_disk, undisturbed, ledger):
    """The main job meets a full disk at one stage after the other, and goes on to the next."""
    whole = undisturbed[0]
    # What Snakemake says goes to another disk.
    project = Project(small_disk / "project", log=small_disk.parent / "run.log")
    shutil.copytree(whole.path, project.path)
    for name in [folder for folder, *_ in STAGES.values()] + ["results/runs"]:
        shutil.rmtree(project.path / name)
    for folder, free, made in STAGES.values():
        if (project.path / folder).exists():
            shutil.rmtree(project.path / folder)
        fill_up(small_disk, free)
        status, said = project.run(TABLE)
        told = [line for line in said.splitlines() if line.startswith("fsar: error: ")]
        space = ("No space left on device", "the disk is full")
        assert status == 2 and told and all(any(words in line for words in space) for line in told), said[-6000:]
        (small_disk / "ballast").unlink()
        project.ok(*(str(path.relative_to(whole.path)) for path in whole.path.glob(made)))
    lost = project.differences(whole)
    for stage in STAGES:
        ledger.add(f"disk full at {stage} time", 1, int(not lost), len(lost))
    assert not lost
