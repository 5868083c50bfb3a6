"""A project folder whose main job is disturbed, and what two such folders have in common in the end."""

from __future__ import annotations

import functools
import gzip
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from fsar_core.config import load_config, overlay
from fsar_core.study import Study

REPOSITORY = Path(__file__).parents[2]
CONFIGS = (
    REPOSITORY / "tests" / "workflow" / "smoke.yaml",
    Path(__file__).with_name("faults.yaml"),
)
FRONT = Path(sys.executable).parent / "snakemake"
TABLE = "results/tables/table2.csv"


@dataclass
class Project:
    """A working directory of Snakemake, with the demo's main job at toy size.

    Attributes:
        log: what its commands say.
        settings: further words of the command line, as `--config roots=...`.
        configs: laid over config.yaml, the last on top.
        cores: that Snakemake may use.
        source: folder with the Snakefile, `workflow`, `profiles` and config.yaml.
        seen: receipts that were there at some kill, by path.
        seconds: that the jobs of its last timed run took.
    """

    path: Path
    settings: tuple[str, ...] = ()
    log: Path | None = None
    configs: tuple[Path, ...] = CONFIGS
    cores: int = 2
    source: Path = REPOSITORY
    seen: dict[Path, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.log = self.log or self.path / "run.log"

    def command(self, *words: str) -> list[str]:
        fixed = [
            "--snakefile",
            self.source / "Snakefile",
            "--directory",
            self.path,
            "--cores",
            self.cores,
        ]
        fixed += ["--configfile", *self.configs] if self.configs else []
        fixed += ["--workflow-profile", self.source / "profiles" / "default", *self.settings]
        behind = [] if "--" in words else ["--"]
        return [str(word) for word in [FRONT, *fixed, *behind, *words]]

    def study(self) -> Study:
        """What its commands plan from."""
        files = [self.source / "config.yaml", *self.configs]
        whole = functools.reduce(overlay, (yaml.safe_load(file.read_text()) for file in files))
        return Study(load_config(whole), self.source / "workflow")

    def start(self, *words: str) -> subprocess.Popen:
        """Start the main job in a process group of its own; its output goes into the log.

        Args:
            words: targets; or options, `--` and targets.
        """
        environment = {
            k: v for k, v in os.environ.items() if k not in ("FSAR_ERRORS", "PYTHONPATH")
        }
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as stream:
            self._began = stream.tell()
            return subprocess.Popen(
                self.command(*words),
                stdout=stream,
                stderr=stream,
                cwd=self.path,
                env=environment,
                start_new_session=True,
            )

    def run(self, *words: str) -> tuple[int, str]:
        """(exit status, what it said)."""
        status = self.start(*words).wait(1800)
        return status, self.said

    def ok(self, *words: str) -> str:
        """Run to the end, with the very command; fail with what it said where the status is not 0."""
        status, said = self.run(*words)
        assert status == 0, said[-6000:]
        return said

    def timed(self, *words: str) -> None:
        """Run to the end, and keep the time from the start of the first job."""
        process = self.start(*words)
        self.until_planned(process)
        started = time.monotonic()
        assert process.wait(1800) == 0, self.said[-6000:]
        self.seconds = time.monotonic() - started

    @property
    def said(self) -> str:
        """What the command started last has said so far."""
        with open(self.log, "rb") as stream:
            stream.seek(self._began)
            return stream.read().decode(errors="replace")

    def until_planned(self, process: subprocess.Popen) -> None:
        """Until the first jobs start, or nothing is to be done."""
        while process.poll() is None and "Select jobs to execute" not in self.said:
            time.sleep(0.05)

    def receipts(self) -> dict[Path, str]:
        return {
            path: path.read_text() for path in (self.path / "stores").glob("*/*/receipts/*.json")
        }

    def made_again(self) -> list[Path]:
        """Shard jobs that had a receipt at some kill and another one now: a receipt holds the seconds that its job took."""
        now = self.receipts()
        return [path for path, text in self.seen.items() if now.get(path) != text]

    def job_logs(self) -> str:
        return "\n".join(
            path.read_text(errors="replace")
            for path in (self.path / "results" / "logs").rglob("*.log")
        )

    def outcome(self) -> dict[str, object]:
        """Everything that numbers come from, by path: bytes of shards, indices, episodes, queries and tables, and tensors."""
        found: dict[str, object] = {}
        for path in sorted(self.path.rglob("*")):
            name = str(path.relative_to(self.path))
            if (
                re.search(
                    r"/data\.zarr/.*/c/|^stores/index/|^results/episodes/|^results/tables/|\.mp4$",
                    name,
                )
                and path.is_file()
            ):
                found[name] = path.read_bytes()
            elif name.endswith(".csv.gz"):
                found[name] = gzip.decompress(path.read_bytes())
            elif path.suffix == ".pt" and path.name != "last.pt":
                found[name] = torch.load(path, weights_only=True)
        return found

    def differences(self, other: Project, below: tuple[str, ...] = ("",)) -> list[str]:
        """Paths at which two outcomes differ, of those that begin with one of `below`."""
        mine, others = self.outcome(), other.outcome()
        names = {name for name in mine.keys() | others.keys() if name.startswith(below)}
        return sorted(name for name in names if not same(mine.get(name), others.get(name)))


def same(left, right) -> bool:
    """Whether two parts of an outcome are equal; what is recorded of versions and machine does not count."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            same(left[key], right[key]) for key in left if key != "environment"
        )
    return left == right
