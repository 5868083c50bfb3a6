"""A project in a folder of its own: some of the shipped tables, all cards, toy stores and results that are or are not in use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from fsar_core.config import load_config, overlay, read_yaml
from fsar_core.study import Study

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Project:
    """path: the folder, the current one of the test."""

    path: Path
    study: Study

    def put(self, path: str | Path, text: str = "x", age: float = 7200.0) -> Path:
        """A file, last changed `age` seconds ago, as are the folders above it."""
        path = self.path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        stamp = path.stat().st_mtime - age
        for place in (path, *path.parents):
            if place.is_relative_to(self.path):
                os.utime(place, (stamp, stamp))
        return path

    def store(self, kind: str, key: str, array: str | None = None, age: float = 7200.0) -> Path:
        """The files of a finished store; what is in them does not matter here."""
        root = f"stores/{kind}/{key}"
        dataset = key.split(".")[0]
        self.put(f"{root}/data.zarr/zarr.json")
        self.put(f"{root}/data.zarr/{array or kind}/zarr.json")
        for number in range(2):
            self.put(f"{root}/data.zarr/{array or kind}/c/{number}/0/0/0/0/0", "y" * 1000)
            self.put(f"{root}/receipts/{number}.json")
        self.put(f"{root}/manifest.json")
        self.put(f"{root}/plan.json", f'{{"spec": {{"dataset": "{dataset}"}}}}', age)
        return self.path / root

    def files(self) -> dict[str, int]:
        """Every file and link below the folder and when it was changed."""
        found = (path for path in self.path.rglob("*") if path.is_file() or path.is_symlink())
        return {path.relative_to(self.path).as_posix(): path.lstat().st_mtime_ns for path in found}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    config = overlay(
        read_yaml(ROOT / "config.yaml"),
        {"presets": {"demo": {"demo_videos": {"clips": {"train": 2}}}}},
    )
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    for file in (
        "tables/dmgal_table2.yaml",
        "tables/dmgal_table7.yaml",
        "tables/i2st_table9.yaml",
        "figures/dmgal_fig9.yaml",
        "figures/sgtm_actionness.yaml",
    ):
        (tmp_path / "workflow" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "workflow" / file).symlink_to(ROOT / "workflow" / file)
    (tmp_path / "workflow" / "datasets").symlink_to(ROOT / "workflow" / "datasets")
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, Study(load_config(config), tmp_path / "workflow"))
