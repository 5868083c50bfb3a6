"""Counting what was done to a project and what came of it."""

from __future__ import annotations

from collections import Counter

FOUND, HARMLESS, LOST = "found", "harmless", "lost"


class Tally:
    """fault -> how often which outcome."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter] = {}

    def add(self, fault: str, outcome: str) -> None:
        self.counts.setdefault(fault, Counter())[outcome] += 1

    def lines(self) -> list[tuple[str, int, int, int, str]]:
        """fault, tries, survived, lost, note. Survived: told in one line before a number was made of it, or without any effect
        on the numbers."""
        rows = []
        for fault, outcomes in self.counts.items():
            note = f"{outcomes[HARMLESS]} without effect" if outcomes[HARMLESS] else ""
            rows.append((fault, outcomes.total(), outcomes[FOUND] + outcomes[HARMLESS], outcomes[LOST], note))
        return rows
