"""The table of the faults: what was done how often, what survived and what was lost."""

from __future__ import annotations

import pytest

ROWS: list[tuple[str, int, int, int, str]] = []


class Ledger:
    """Takes down a fault, its tries, how many of them ended in the right outcome, what was lost, and a note."""

    def add(self, fault: str, tries: int, survived: int, lost: int = 0, note: str = "") -> None:
        ROWS.append((fault, tries, survived, lost, note))


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    return Ledger()


def pytest_terminal_summary(terminalreporter):
    if ROWS:
        terminalreporter.write_line("\n| fault | tries | survived | lost | |\n|---|---|---|---|---|")
        for row in ROWS:
            terminalreporter.write_line("| " + " | ".join(map(str, row)) + " |")
