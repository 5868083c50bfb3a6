"""`fsar clean` and `fsar repair` as processes of their own, over the stores of a project."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import yaml

from fsar_core.storage.places import Place
from tests.faults import jobs
from tests.faults import small as small_project
from tests.faults.runs import Project


def clean(
    project: Project, folder: Path, stores: object, log: Path, **environment: str
) -> subprocess.Popen:
    """`fsar clean` in another project folder that shares the stores and does not use the features."""
    other = yaml.safe_load((project.source / "config.yaml").read_text())
    other["roots"] = {name: str(folder / name) for name in ("data", "weights", "results")} | {
        "stores": str(stores)
    }
    other["presets"]["demo"]["backbone"]["crop"] = 24
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(other))
    shutil.copytree(project.source / "workflow", folder / "workflow", dirs_exist_ok=True)
    return jobs.start(folder, ("clean", "--yes", "--min-age", "0"), log, **environment)


def repair(project: Project, store: Place, log: Path, **environment: str) -> subprocess.Popen:
    """`fsar repair` of a store, with the options of the project's snakemake command."""
    command = project.command("TARGET")[1:]
    options = command[: command.index("--")]
    if not isinstance(store, Path):
        roots = json.dumps({"stores": str(store.parent.parent)})
        options += ["--config", f"roots={roots}"]
    return jobs.start(project.path, ("repair", str(store), "--", *options), log, **environment)


def damage_test_clip(store: Place, key: str = "data.zarr/features/c/1/0/0/0/0/0") -> None:
    """Change a byte of a test clip. The training does not read it, and `fsar repair` removes its whole job."""
    path = store / key
    data = bytearray(path.read_bytes())
    row = small_project.FIRST_TEST_ROW + 5 - 64
    data[row * (len(data) // 64) + 50] ^= 1
    path.write_bytes(bytes(data))
