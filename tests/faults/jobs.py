"""Single jobs of a project: the command lines of its rules, changed and started outside of Snakemake."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fsar_core.config import overlay
from tests.faults.runs import Project

RULE = ("rule ", "localrule ")
SHELL = "Shell command: "
PROGRAM = "python -m fsar_core "


@dataclass(frozen=True)
class Job:
    """A job of a rule.

    Attributes:
        rule: its name.
        words: the verb of `fsar` and its arguments.
    """

    rule: str
    words: tuple[str, ...]

    def __getitem__(self, option: str) -> str:
        """The value of `--option VALUE`."""
        return self.words[self.words.index(option) + 1]

    def having(self, **options: object) -> Job:
        """The same job with other values of options, `memory_gib=1` for `--memory-gib 1`."""
        words = list(self.words)
        for name, value in options.items():
            option = f"--{name.replace('_', '-')}"
            if option in words:
                words[words.index(option) + 1] = str(value)
            else:
                words += [option, str(value)]
        return replace(self, words=tuple(words))

    def with_spec(self, **changes: Any) -> Job:
        """The same job with keys of its spec changed; nested ones as dictionaries."""
        return self.having(spec=json.dumps(overlay(json.loads(self["--spec"]), changes)))


def jobs_of(project: Project, *targets: str) -> list[Job]:
    """Every job that makes the targets from nothing, as `snakemake -n -p` prints them."""
    status, text = project.run("-n", "-p", "-F", "--", *targets)
    assert status == 0, text[-4000:]
    jobs, rule = [], ""
    for line in text.splitlines():
        if line.startswith(RULE):
            rule = line.split()[1].rstrip(":")
        elif line.startswith(SHELL) and PROGRAM in line:
            words = shlex.split(line.rpartition(PROGRAM)[2].rpartition(" > ")[0])
            jobs.append(Job(rule, tuple(words)))
    return jobs


def start(folder: Path, words: tuple[str, ...], log: Path, **environment: str) -> subprocess.Popen:
    """Start a verb of `fsar` in a process group of its own; its output goes into the log."""
    settings = {
        name: value
        for name, value in os.environ.items()
        if name not in ("FSAR_ERRORS", "PYTHONPATH")
    }
    settings |= {"OMP_NUM_THREADS": "1", **environment}
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "fsar_core", *words],
            stdout=stream,
            stderr=stream,
            cwd=folder,
            env=settings,
            start_new_session=True,
        )


def run(folder: Path, words: tuple[str, ...], log: Path, **environment: str) -> int:
    """The exit status of a verb; see `start`."""
    return start(folder, words, log, **environment).wait(600)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to a process and its children."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


def until(log: Path, words: str, process: subprocess.Popen, seconds: float = 300) -> bool:
    """Wait until a log holds `words`; False where the process ended before."""
    end = time.monotonic() + seconds
    while words not in read(log):
        if process.poll() is not None:
            return words in read(log)
        assert time.monotonic() < end, f"not in {log} after {seconds} s: {words}"
        time.sleep(0.02)
    return True


def until_saved(model: Path, process: subprocess.Popen) -> None:
    """Wait until a training has saved its state for the first time."""
    while not (model / "last.pt").exists():
        assert process.poll() is None, "the training ended before it saved its state"
        time.sleep(0.005)


def read(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


def errors(text: str) -> list[str]:
    """The one-line errors in an output; a traceback fails."""
    assert "Traceback" not in text, text[-4000:]
    return [line for line in text.splitlines() if line.startswith("fsar: error: ")]
