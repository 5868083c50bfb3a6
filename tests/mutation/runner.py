"""Run pytest on copies of the project in forked processes that have the slow third-party imports behind them.

Importing torch, pandas and the rest takes several seconds, the tests of one module often less than one. The parent
imports them once; every run is a fork of it that imports `fsar_core` and `tests` from its own copy.
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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRELOADED = ("torch", "torchvision", "numpy", "pandas", "zarr", "pydantic", "yaml", "einops", "jaxtyping", "beartype")
PRELOADED += (
    "pytest",
    "hypothesis",
    "hypothesis.strategies",
    "av",
    "PIL.Image",
    "matplotlib.pyplot",
    "sklearn",
    "scipy",
)
PRELOADED += ("torch.testing", "torch._dynamo", "sklearn.manifold", "pebble", "transformers", "open_clip")
DESELECTED = "not workflow and not slurm and not faults and not gpu"
MEMORY = 8 << 30


@dataclass
class Result:
    """How a run of pytest ended: `status` is its exit status, or None after a timeout."""

    status: int | None
    seconds: float
    tests_run: int = 0
    failed: str = ""
    functions: list[str] | None = None


def preload() -> None:
    """Import what is slow to import and does not depend on the project."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            print(f"{name} cannot be imported; runs that need it will be slower or skip tests")
    import torch

    torch.set_num_threads(1)
    for name in [name for name in sys.modules if name.split(".")[0] in ("fsar_core", "tests")]:
        if not name.startswith("tests.mutation") and name != "tests":
            raise RuntimeError(f"{name} must not be imported before the fork")


class Copy:
    """A copy of the project's files in a temporary folder, in which one module at a time is replaced."""

    def __init__(self, folder: Path) -> None:
        self.root, self.temporary = folder / "project", folder / "tmp"
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
        for name in filter(None, listed.split("\0")):
            source, target = ROOT / name, self.root / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)

    def write(self, module: str, source: bytes) -> None:
        """Replace a module, and its bytecode: a stale one would be taken for it if size and second are the same."""
        path = self.root / module
        path.write_bytes(source)
        py_compile.compile(str(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)

    def start(self, files: list[str], report: Path, log: Path, trace: bool = False) -> Run:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            status = 3
            try:
                status = self._pytest(files, report, log, trace)
            finally:
                os._exit(status)
        return Run(pid, report)

    def _pytest(self, files: list[str], report: Path, log: Path, trace: bool) -> int:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(out, stream)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        os.chdir(self.root)
        os.environ["PYTHONPATH"] = str(self.root)
        sys.path[:] = [str(self.root), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
        for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
            del sys.modules[name]
        import pytest

        recorder = Recorder(self.root)
        if trace:
            threading.settrace(recorder.trace)
            sys.settrace(recorder.trace)
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-m", DESELECTED]
        status = pytest.main([*options, f"--basetemp={self.temporary}", *files], plugins=[recorder])
        sys.settrace(None)
        recorder.write(report)
        return int(status)


class Run:
    """A forked run of pytest and the processes that it started."""

    def __init__(self, pid: int, report: Path) -> None:
        self.pid, self.report, self.began = pid, report, time.monotonic()

    def poll(self, timeout: float) -> Result | None:
        """The result if the run is over, or if it has taken longer than `timeout` seconds and is now killed."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        seconds = time.monotonic() - self.began
        if pid == 0 and seconds < timeout:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if pid == 0:
            os.waitpid(self.pid, 0)
            return Result(None, seconds)
        recorded = json.loads(self.report.read_text()) if self.report.is_file() else {}
        self.report.unlink(missing_ok=True)
        return Result(os.waitstatus_to_exitcode(status), seconds, **recorded)

    def wait(self, timeout: float) -> Result:
        while (result := self.poll(timeout)) is None:
            time.sleep(0.02)
        return result


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
        path.write_text(json.dumps({"tests_run": self.tests_run, "failed": self.failed, "functions": functions}))
