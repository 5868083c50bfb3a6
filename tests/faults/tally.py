"""Counting what was done to a project and what came of it; a line a fault, printed as the table of the README."""

from __future__ import annotations

from collections import Counter

FOUND, HARMLESS, LOST = "found", "harmless", "lost"
HEADER = ["| fault | tries | survived | lost |", "|---|---|---|---|"]


class Tally:
    """fault -> how often which outcome."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter] = {}

    def add(self, fault: str, outcome: str) -> None:
        self.counts.setdefault(fault, Counter())[outcome] += 1

    def lines(self) -> list[str]:
        """Survived: told in one line before a number was made of it, or without any effect on the numbers."""
        rows = []
        for fault, outcomes in self.counts.items():
            survived = f"{outcomes[FOUND]} found"
            if outcomes[HARMLESS]:
                survived += f", {outcomes[HARMLESS]} without effect"
            rows.append(f"| {fault} | {outcomes.total()} | {survived} | {outcomes[LOST]} |")
        return [*HEADER, *rows]


def show(config, tally: Tally) -> None:
    """Print the table, whatever pytest captures."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        reporter.ensure_newline()
        for line in tally.lines():
            reporter.write_line(line)
