"""Run pytest on copies of the project in forked processes that have the slow imports behind them.

Importing torch, pandas and the rest takes several seconds, the tests of one module often less than one. The parent
imports them once; every run is a fork of it that imports `fsar_core` and `tests` from a copy of the project.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import py_compile
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutation.mutants import Mutant

ROOT = Path(__file__).parents[2]
PRELOADED = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "zarr",
    "pydantic",
    "yaml",
    "einops",
    "jaxtyping",
    "beartype",
)
PRELOADED += (
    "pytest",
    "hypothesis",
    "hypothesis.strategies",
    "av",
    "PIL.Image",
    "matplotlib.pyplot",
    "scipy.stats",
)
PRELOADED += (
    "sklearn.manifold",
    "pebble",
    "transformers",
    "open_clip",
    "torch.fx.experimental.symbolic_shapes",
)
DESELECTED = "not workflow and not slurm and not faults and not gpu"
MEMORY = 8 << 30  # bytes; a test that takes more has gone wrong


@dataclass
class Job:
    """Test files to run, with a mutant in place or without."""

    name: str
    files: list[str]
    timeout: float
    mutant: Mutant | None = None


@dataclass
class Result:
    """How a job ended: `status` is the exit status of pytest, None after a timeout; `functions` are those called."""

    status: int | None
    seconds: float
    tests_run: int = 0
    failed: str = ""
    functions: list[str] = field(default_factory=list)


def preload() -> None:
    """Import what is slow to import and does not depend on the project."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            print(f"{name} cannot be imported here; tests that need it will be skipped or slow")
    if "fsar_core" in sys.modules:
        raise RuntimeError("fsar_core was imported before the fork; every run needs its own")


def run_jobs(
    jobs: list[Job],
    folder: Path,
    processes: int,
    logs: Path,
    done: Callable[[Job, Result], None],
    trace: bool = False,
) -> None:
    """Run all jobs, `processes` at a time, and call `done` as they end.

    Args:
        folder: an empty folder for the copies of the project.
        logs: folder for pytest's output, one file a job.
        trace: note which functions of the package are called.
    """
    logs.mkdir(exist_ok=True)
    idle = [Copy(folder / str(number)) for number in range(min(processes, len(jobs)))]
    waiting, running = list(jobs), []
    try:
        while waiting or running:
            if waiting and idle:
                running.append(idle.pop().start(waiting.pop(0), logs, trace))
            for copy in list(running):
                result = copy.poll()
                if result is not None:
                    running.remove(copy)
                    idle.append(copy)
                    done(copy.job, result)
            time.sleep(0.02)
    finally:
        for copy in running:
            copy.kill()


class Copy:
    """A copy of the project's files, and the run of pytest in it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.temporary, self.report = (
            folder / "project",
            folder / "tmp",
            folder / "report.json",
        )
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
        for name in filter(None, listed.split("\0")):
            source, target = ROOT / name, self.root / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)

    def start(self, job: Job, logs: Path, trace: bool) -> Copy:
        self.job, self.began = job, time.monotonic()
        self.report.unlink(missing_ok=True)
        if job.mutant is not None:
            self.original = (self.root / job.mutant.module).read_bytes()
            self._write(job.mutant.module, job.mutant.apply(self.original))
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            status = 3
            try:
                status = self._pytest(logs / f"{job.name.replace('/', '.')}.txt", trace)
            finally:
                os._exit(status)
        return self

    def poll(self) -> Result | None:
        """The result if the run is over; a run that takes longer than its timeout is killed."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        seconds = time.monotonic() - self.began
        late = seconds > self.job.timeout
        if pid == 0 and not late:
            return None
        self.kill(ended=pid != 0)
        if self.job.mutant is not None:
            self._write(self.job.mutant.module, self.original)
        if pid == 0:
            return Result(None, seconds)
        recorded = json.loads(self.report.read_text()) if self.report.is_file() else {}
        return Result(os.waitstatus_to_exitcode(status), seconds, **recorded)

    def kill(self, ended: bool = False) -> None:
        """Kill the run and every process that it left in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if not ended:
            os.waitpid(self.pid, 0)

    def _write(self, module: str, source: bytes) -> None:
        """Write bytecode too: an older file would be taken for it where size and second are the same."""
        path = self.root / module
        path.write_bytes(source)
        py_compile.compile(
            str(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )

    def _pytest(self, log: Path, trace: bool) -> int:
        """In the forked process."""
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        os.chdir(self.root)
        os.environ["PYTHONPATH"] = str(self.root)
        sys.path[:] = [
            str(self.root),
            *(path for path in sys.path if path and Path(path).resolve() != ROOT),
        ]
        for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
            del sys.modules[name]
        import pytest

        recorder = Recorder(self.root)
        if trace:
            threading.settrace(recorder.trace)
            sys.settrace(recorder.trace)
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-m", DESELECTED]
        status = pytest.main(
            [*options, f"--basetemp={self.temporary}", *self.job.files], plugins=[recorder]
        )
        sys.settrace(None)
        recorder.write(self.report)
        return int(status)


class Recorder:
    """A pytest plugin that counts tests, names the first that fails, and notes which functions of the package ran."""

    def __init__(self, root: Path) -> None:
        self.package, self.prefix = str(root / "fsar_core"), len(str(root)) + 1
        self.tests_run, self.failed = 0, ""
        self.called: set[tuple[str, str]] = set()

    def pytest_runtest_logreport(self, report) -> None:
        self.tests_run += report.when == "call"
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report) -> None:
        if report.failed:
            self.failed = self.failed or f"{report.nodeid} (import)"

    def trace(self, frame, event, argument) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self.package):
            self.called.add((code.co_filename, code.co_qualname))

    def write(self, path: Path) -> None:
        functions = sorted(f"{file[self.prefix :]}:{name}" for file, name in self.called)
        path.write_text(
            json.dumps({"tests_run": self.tests_run, "failed": self.failed, "functions": functions})
        )
