"""The table of the faults: what was done how often, what survived and what was lost."""

from __future__ import annotations

import time

import pytest

from tests.faults.runs import TABLE, Project

ROWS: list[tuple[str, int, int, int, str]] = []


class Ledger:
    """Takes down a fault, its tries, how many of them ended in the right outcome, what was lost, and a note."""

    def add(self, fault: str, tries: int, survived: int, lost: int = 0, note: str = "") -> None:
        ROWS.append((fault, tries, survived, lost, note))


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> tuple[Project, float]:
    """A project whose main job ran through, and how long its jobs took, s."""
    project = Project(tmp_path_factory.mktemp("undisturbed"))
    process = project.start(TABLE)
    project.until_planned(process)
    started = time.monotonic()
    assert process.wait(1800) == 0, project.said[-6000:]
    return project, time.monotonic() - started


def pytest_terminal_summary(terminalreporter):
    if ROWS:
        terminalreporter.write_line("\n| fault | tries | survived | lost | |\n|---|---|---|---|---|")
        for row in ROWS:
            terminalreporter.write_line("| " + " | ".join(map(str, row)) + " |")
