"""The image: everything that the workflow needs is copied, and nothing that a user's folder holds beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]
LINES = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()


def copied() -> list[tuple[list[str], str]]:
    """(sources, destination) of every COPY."""
    words = [line.split()[1:] for line in LINES if line.startswith("COPY ")]
    return [(line[:-1], line[-1]) for line in words]


def test_its_python_is_one_of_the_projects():
    (version,) = re.findall(r"^FROM python:(\d+\.\d+)-slim", "\n".join(LINES), re.MULTILINE)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert Requirement(f"python{project['requires-python']}").specifier.contains(version)
    assert all(
        "constraints.txt" in line or "--no-deps" in line
        for line in " ".join(LINES).split("&&")
        if "pip install" in line
    )


def test_what_is_left_out_is_what_runs_make():
    ignored = set((REPOSITORY / ".dockerignore").read_text(encoding="utf-8").split())
    assert {".git", ".venv", ".snakemake", "data", "stores", "weights", "results"} <= ignored
    assert not {source for sources, _ in copied() for source in sources} & ignored


@pytest.mark.workflow
def test_the_main_job_can_be_planned_in_what_is_copied(tmp_path):
    image = tmp_path / "image"
    image.mkdir()
    for sources, destination in copied():
        for source in sources:
            target = image / destination / ("" if (REPOSITORY / source).is_dir() else source)
            if (REPOSITORY / source).is_dir():
                shutil.copytree(
                    REPOSITORY / source, target, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(REPOSITORY / source, target)
    command = json.loads(LINES[-1].removeprefix("CMD "))
    assert command[0] == "snakemake"
    environment = os.environ | {"PYTHONPATH": str(image)}
    front = [sys.executable, "-c", "from fsar_core.runtime.launcher import main; main()"]
    work = ["-n", "--directory", str(tmp_path / "work")]
    done = subprocess.run(
        [*front, *command[1:], *work], cwd=image, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^train_head +24$", done.stdout + done.stderr, re.MULTILINE)
