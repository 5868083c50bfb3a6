"""A temporary copy of the project that a test extends by adding files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from fsar_core.config import overlay
from tests.workflow.folders import FRONT, REPOSITORY, smoke_config

PARTS = ("fsar_core", "workflow", "profiles", "envs")


@dataclass
class Project:
    """A copy of the repository, and the folder in which Snakemake runs it.

    Attributes:
        root: holds the copied Snakefile, package and workflow.
        folder: the working directory: stores and results.
        config: the settings of a smoke run, with those of the test on top.
    """

    root: Path
    folder: Path
    config: dict[str, Any] = field(default_factory=smoke_config)

    @classmethod
    def copy(cls, root: Path, folder: Path) -> Project:
        """Copy the repository to `root`."""
        for part in PARTS:
            source = REPOSITORY / part
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(REPOSITORY / name, root)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(root, folder)

    def add(self, path: str, text: str) -> None:
        """Add a file; changing one that exists is not an extension."""
        target = self.root / path
        assert not target.exists(), f"{path} exists"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text))

    def configure(self, changes: dict[str, Any]) -> None:
        """Lay settings over those of the smoke run."""
        self.config = overlay(self.config, changes)

    def fsar(self, *words: str) -> str:
        """Run a verb and return what it prints; fail unless it succeeds."""
        return self._run(sys.executable, "-m", "fsar_core", *words)

    def check(self) -> str:
        """Run `fsar check` on the test's configuration."""
        return self.fsar(
            "check", "--config", str(self._write_config()), "--workflow", self._workflow
        )

    def snakemake(self, *words: str) -> str:
        """Run Snakemake in the working directory and return its output; fail unless it succeeds."""
        options = ["--snakefile", str(self.root / "Snakefile"), "--directory", str(self.folder)]
        options += ["--configfile", str(self._write_config()), "--cores", "2"]
        options += ["--workflow-profile", str(self.root / "profiles" / "default")]
        # Only what is missing or older than its inputs: the copy has its cards at another path than
        # the project whose stores it starts from.
        options += ["--rerun-triggers", "mtime"]
        return self._run(str(FRONT), *options, *words)

    def files(self, pattern: str) -> list[Path]:
        """Return files and folders below the working directory, sorted."""
        return sorted(self.folder.glob(pattern))

    @property
    def _workflow(self) -> str:
        return str(self.root / "workflow")

    def _write_config(self) -> Path:
        path = self.root / "test_config.yaml"
        path.write_text(json.dumps(self.config))
        return path

    def _run(self, *command: str) -> str:
        env = {key: value for key, value in os.environ.items() if key != "FSAR_ERRORS"}
        env["PYTHONPATH"] = str(self.root)
        done = subprocess.run(
            command, capture_output=True, text=True, env=env, cwd=self.folder, timeout=900
        )
        text = done.stdout + done.stderr
        assert done.returncode == 0, text[-6000:]
        return text
