"""The table of the faults: how often each was tried, how often it was detected, and how often the outcome was wrong."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.faults import finished
from tests.faults import small as small_project
from tests.faults.runs import TABLE, Project


class Line(NamedTuple):
    """What came of one kind of fault.

    Attributes:
        attempts: how often it was tried.
        detected: attempts that ended with an error of one line, before a number was made.
        wrong: attempts that ended with another result than an undisturbed run, or with a traceback.
    """

    fault: str
    attempts: int
    detected: int
    wrong: int
    note: str = ""

    @property
    def survived(self) -> int:
        """Attempts that changed nothing in the result."""
        return max(self.attempts - self.detected - self.wrong, 0)


LINES: list[Line] = []
HEADER = ("fault", "attempts", "detected", "survived or without effect", "wrong", "")


class Ledger:
    """Collects the lines of the table that is printed at the end."""

    def add(
        self, fault: str, attempts: int, *, detected: int = 0, wrong: int = 0, note: str = ""
    ) -> None:
        LINES.append(Line(fault, attempts, detected, wrong, note))


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Project:
    """The main job at toy size, after an undisturbed run. Tests copy it and leave it as it is."""
    project = Project(tmp_path_factory.mktemp("undisturbed"))
    project.timed(TABLE)
    return project


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Project:
    """The small project, after an undisturbed run. Tests copy it and leave it as it is."""
    source = small_project.source(tmp_path_factory.mktemp("source"))
    project = small_project.project(tmp_path_factory.mktemp("small") / "project", source)
    project.timed(TABLE)
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> finished.Project:
    """A finished run of three rows, with masks and saliency."""
    return finished.make(tmp_path_factory.mktemp("finished"))


def pytest_sessionfinish(session):
    """A wrong outcome fails the run, also where a test did not notice."""
    if any(line.wrong for line in LINES) and session.exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    if not LINES:
        return
    rows = [HEADER, ("---",) * len(HEADER)]
    rows += [
        (line.fault, line.attempts, line.detected, line.survived, line.wrong, line.note)
        for line in LINES
    ]
    totals = [
        sum(getattr(line, name) for line in LINES)
        for name in ("attempts", "detected", "survived", "wrong")
    ]
    rows.append(("all", *totals, ""))
    terminalreporter.write_line("")
    for row in rows:
        terminalreporter.write_line("| " + " | ".join(map(str, row)) + " |")
