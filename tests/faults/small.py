"""A small project: 135 short videos and a table of one row; every stage of the main job in 45 seconds.

Faults that concern stores and trainings alone are tried on it. Its table is
results/tables/table2.csv, so that the commands are those of the documentation.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from fsar_core.config import overlay
from tests.builders import toy_dataset
from tests.faults.runs import REPOSITORY, Project
from tests.workflow.folders import smoke_config

DATASET = "mine"
# Rows 0 to 44 are training clips, 45 to 89 validation, 90 to 134 test. A shard holds 64 rows and a job
# fills 128: the first job of a store fills two shards, which hold clips of all splits.
CLASSES = {"train": 3, "val": 3, "test": 3}
CLIPS = 15
FRAMES = 12
FIRST_TEST_ROW = 90
ROW = {"method": "DMGAL-FT (OTAM)", "head": {"name": "dmgal"}, "matching": {"name": "otam"}}
TABLE = {
    "title": "Small",
    "where": "nowhere",
    "backbone": "demo_cnn",
    "datasets": ["ssv2_small"],
    "shots": [1],
    "rows": [ROW],
}
SETTINGS = {
    "frames": {"clips_per_job": 128, "size": 40},
    "backbone": {"clips_per_job": 128, "crop": 32, "compression": "none"},
    "episodes": {"way": 3, "test": 40, "val": 10},
    "training": {"episodes": 60, "validations": 3},
}


def source(folder: Path, **settings: Any) -> Path:
    """A folder with the Snakefile, the rules, a card, a table and config.yaml of a small project.

    Args:
        settings: of the preset, laid over SETTINGS.
    """
    skipped = shutil.ignore_patterns("tables", "figures", "datasets")
    shutil.copytree(REPOSITORY / "workflow", folder / "workflow", ignore=skipped)
    for name in ("profiles", "envs"):
        shutil.copytree(REPOSITORY / name, folder / name)
    shutil.copy(REPOSITORY / "Snakefile", folder)
    preset = overlay(SETTINGS, settings)
    config = overlay(smoke_config(), {"presets": {"demo": preset}})
    config["datasets"] = {"ssv2_small": DATASET}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for name in ("tables", "figures"):
        (folder / "workflow" / name).mkdir()
    (folder / "workflow/tables/dmgal_table2.yaml").write_text(yaml.safe_dump(TABLE))
    toy_dataset(folder, DATASET, CLASSES, CLIPS, FRAMES, max_failures=0.05)
    return folder


def project(folder: Path, source: Path, **options: Any) -> Project:
    """A working directory with its own copy of the videos."""
    shutil.copytree(source / "data", folder / "data")
    return Project(folder, configs=(), source=source, **options)


def copy_of(whole: Project, folder: Path) -> Project:
    """A copy of a project with everything that was made in it, and Snakemake's records."""
    shutil.copytree(whole.path, folder, symlinks=True)
    return Project(folder, configs=(), source=whole.source)
