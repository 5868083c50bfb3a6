import os
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
import xdist
from xdist.scheduler import LoadScopeScheduling

from tests.buckets import bucket, s3_address  # noqa: F401
from tests.builders import shared
from tests.workflow.folders import METHODS, Folder, summaries

FAULTS = Path(__file__).parent / "faults"
MISSING = pytest.StashKey[Counter]()


def pytest_addoption(parser):
    parser.addoption(
        "--require-shared",
        action="store_true",
        default=os.environ.get("FSAR_REQUIRE_SHARED", "0") not in ("", "0"),
        help="fail instead of skipping tests whose real data or reference numbers are missing; "
        "the same as FSAR_REQUIRE_SHARED=1",
    )


def pytest_configure(config):
    config.stash[MISSING] = Counter()
    config.addinivalue_line(
        "markers",
        "shared(*paths, checks): reads files below the folder of real data and reference numbers ($FSAR_SHARED); "
        "`checks` says what of, for the summary of a run without them",
    )


def pytest_ignore_collect(collection_path, config):
    """tests/faults takes long: collected only where it is named, or where `-m` speaks of it."""
    if collection_path != FAULTS or "faults" in (config.option.markexpr or ""):
        return None
    named = (
        config.invocation_params.dir.joinpath(word.split("::")[0]).resolve() for word in config.args
    )
    return None if any(path.is_relative_to(FAULTS) for path in named) else True


class FilesTogether(LoadScopeScheduling):
    """Several processes (`pytest -n 2`) run whole files, in the order in which they were collected.

    All files whose tests use the `smoke` run go to one process, which makes it once.
    """

    def __init__(self, config, log=None):
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid):
        file = nodeid.split("::")[0]
        return "smoke" if _uses_smoke(file) else file


@cache
def _uses_smoke(file):
    source = Path(__file__).parents[1].joinpath(file).read_text()
    return re.search(r"^def \w+\([^)]*\bsmoke\b", source, re.MULTILINE) is not None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return FilesTogether(config, log)


def pytest_collection_modifyitems(session, items):
    """Several processes start with the workflow tests, which take longest."""
    if xdist.is_xdist_worker(session):
        items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip a test whose shared files are missing, or fail it with `--require-shared`."""
    for marker in item.iter_markers("shared"):
        missing = [str(shared(path)) for path in marker.args if not shared(path).exists()]
        if missing:
            item.config.stash[MISSING][marker.kwargs["checks"]] += 1
            reason = f"{missing[0]} is missing; set FSAR_SHARED to the folder that has it"
            if item.config.getoption("--require-shared"):
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def pytest_sessionfinish(session):
    """Send the counts of skipped tests to the process that prints the summary."""
    if xdist.is_xdist_worker(session):
        session.config.workeroutput["missing"] = dict(session.config.stash[MISSING])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Add the counts of a process that ended; a crashed one has none."""
    if error is None:
        node.config.stash[MISSING].update(node.workeroutput["missing"])


def pytest_terminal_summary(terminalreporter, config):
    """Tests that were skipped for want of shared files do not go unnoticed."""
    missing = config.stash[MISSING]
    if not missing:
        return
    happened = "FAILED" if config.getoption("--require-shared") else "NOT RUN"
    terminalreporter.section("missing reference data", sep="!", red=True, bold=True)
    terminalreporter.write_line(
        f"{missing.total()} tests {happened}: {shared()} lacks their files. Not checked:"
    )
    for checks, count in missing.items():
        terminalreporter.write_line(f"{count:5}  {checks}")
    terminalreporter.write_line(
        "Set FSAR_SHARED to the folder that has them; --require-shared makes these tests fail."
    )


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small tensors compute fastest, and always alike, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_tf32(request, monkeypatch):
    """Convolutions on a GPU round float32 to 10 bits (TF32) by default; tests on GPUs compare without that."""
    if request.node.get_closest_marker("gpu"):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
        monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Folder:
    """A folder in which three runs of Table II are done, from the videos on."""
    folder = Folder(tmp_path_factory.mktemp("smoke"))
    folder.ok("--", *summaries(*METHODS))
    return folder
