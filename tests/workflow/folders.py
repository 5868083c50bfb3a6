"""What tests of the workflow share: its folders, and the runs of its toy configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from fsar_core.config import load_config, overlay
from fsar_core.specs import RunSpec
from fsar_core.study import Study

REPOSITORY = Path(__file__).parents[2]
SMOKE = Path(__file__).parent / "smoke.yaml"
FRONT = Path(sys.executable).parent / "snakemake"


def smoke_config(**training) -> dict:
    """config.yaml with smoke.yaml over it and, where given, other training settings."""
    base = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    merged = overlay(base, yaml.safe_load(SMOKE.read_text()))
    return overlay(merged, {"presets": {"demo": {"training": training}}})


@dataclass
class Folder:
    """A working directory of Snakemake."""

    path: Path

    def snakemake(
        self, *words: str, package: Path | None = None, config: Path = SMOKE
    ) -> subprocess.CompletedProcess:
        """Run the project's Snakefile here. `package`: a folder whose fsar_core is used instead of the installed one."""
        env = {k: v for k, v in os.environ.items() if k not in ("FSAR_ERRORS", "PYTHONPATH")}
        if package is not None:
            env["PYTHONPATH"] = str(package)
        command = [
            str(FRONT),
            "--snakefile",
            str(REPOSITORY / "Snakefile"),
            "--directory",
            str(self.path),
            "--cores",
            "2",
        ]
        command += [
            "--configfile",
            str(config),
            "--workflow-profile",
            str(REPOSITORY / "profiles" / "default"),
        ]
        return subprocess.run(
            [*command, *words], capture_output=True, text=True, env=env, cwd=self.path, timeout=900
        )

    def ok(self, *words: str, **options) -> str:
        """Run and return all output; fail the test with it where the exit status is not 0."""
        done = self.snakemake(*words, **options)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text[-6000:]
        return text

    def planned(self, *words: str, **options) -> dict[str, list[str]]:
        """Rule -> jobs (their wildcards) that a dry run plans."""
        jobs: dict[str, list[str]] = {}
        rule = ""
        for line in self.ok("-n", *words, **options).splitlines():
            head, _, tail = line.strip().partition(" ")
            if head in ("rule", "localrule") and tail.endswith(":"):
                rule = tail[:-1]
                jobs[rule] = [*jobs.get(rule, []), ""]
            elif head == "wildcards:" and rule:
                jobs[rule][-1] = tail
        return jobs


def study(**training) -> Study:
    return Study(load_config(smoke_config(**training)), REPOSITORY / "workflow")


def runs_of(*methods: str, shot: int = 1, **training) -> list[RunSpec]:
    """The runs of Table II's rows at a shot."""
    cells = study(**training).experiments.cells("dmgal_table2")
    found = {cell.row.method: cell.run for cell in cells if cell.column.shot == shot}
    return [found[method] for method in methods]


def run_ids(*methods: str, **options) -> list[str]:
    return [run.run_id for run in runs_of(*methods, **options)]


def summaries(*methods: str, **options) -> list[str]:
    return [f"results/runs/{run}/summary.json" for run in run_ids(*methods, **options)]


METHODS = ("OTAM", "DMGAL-FT (OTAM)", "Bi-MHM")
