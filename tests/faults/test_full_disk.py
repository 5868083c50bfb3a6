"""A disk that is full at every stage: a clear message, nothing half-written is taken for whole, and the run goes on once there is
space."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.runs import TABLE, Project

pytestmark = pytest.mark.faults
KIB = 1024
# Stage -> the rule that meets it, the folder of what it makes, bytes that are left free when it begins, the ending of what cannot
# be written, and what is then made with space at hand.
STAGES = {
    "decode": ("fill_frames", "stores/frames", 128 * KIB, "", "stores/frames/*/manifest.json"),
    "feature": (
        "fill_features",
        "stores/features",
        128 * KIB,
        "",
        "stores/features/*/manifest.json",
    ),
    "checkpoint": ("train_head", "results/models", 16 * KIB, ".pt", TABLE),
    "table": ("table", "results/tables", 0, ".csv", TABLE),
}


@contextlib.contextmanager
def disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of its own, in an empty folder."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill_up(place: Path, free: int) -> None:
    """A ballast file that leaves `free` bytes."""
    with open(place / "ballast", "wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(place).free - free)


def meets_a_full_disk(project: Project, rule: str, folder: str, ending: str) -> None:
    """The main job ends at this rule, with clear lines, one of which names what could not be written."""
    status, said = project.run(TABLE)
    told = [line for line in said.splitlines() if line.startswith("fsar: error: ")]
    space = ("No space left on device", "the disk is full")
    assert status == 2 and told and all(any(words in line for words in space) for line in told), (
        said[-6000:]
    )
    assert set(re.findall(r"Error in rule (\w+)", said)) == {rule}
    assert any(re.match(rf"fsar: error: {folder}/[^:]*{ending}: ", line) for line in told), told


@pytest.mark.timeout(1800)
def test_full_at_every_stage(tmp_path, undisturbed, ledger):
    """The main job meets a full disk at one stage after the other, and goes on to the next. Checkpoints and tables are smaller
    than what Snakemake writes before them: their folders are disks of their own."""
    whole = undisturbed
    with disk(tmp_path / "disk", "512m") as place:
        # What Snakemake says goes to another disk.
        project = Project(place / "project", log=tmp_path / "run.log")
        shutil.copytree(whole.path, project.path)
        for name in [folder for _, folder, *_ in STAGES.values()] + ["results/runs"]:
            shutil.rmtree(project.path / name)
        for rule, folder, free, ending, made in STAGES.values():
            if folder.startswith("results/"):
                shutil.rmtree(project.path / folder, ignore_errors=True)
                with disk(project.path / folder, "1m") as own:
                    fill_up(own, free)
                    meets_a_full_disk(project, rule, folder, ending)
            else:
                fill_up(place, free)
                meets_a_full_disk(project, rule, folder, ending)
                (place / "ballast").unlink()
            project.ok(*(str(path.relative_to(whole.path)) for path in whole.path.glob(made)))
        lost = project.differences(whole)
    for stage in STAGES:
        ledger.add(f"disk full at {stage} time", 1, wrong=len(lost))
    assert not lost
