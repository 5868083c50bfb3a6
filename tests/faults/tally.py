"""Counting what was done to a project and what came of it."""

from __future__ import annotations

from collections import Counter

FOUND, HARMLESS, LOST = "found", "harmless", "lost"


class Tally:
    """Counts the outcomes of each kind of fault.

    `FOUND`: refused with one line before a number was made. `HARMLESS`: the result is the same to the last bit.
    `LOST`: another number, or a traceback.
    """

    def __init__(self) -> None:
        self.counts: dict[str, Counter] = {}

    def add(self, fault: str, outcome: str) -> None:
        self.counts.setdefault(fault, Counter())[outcome] += 1

    def report(self, ledger) -> None:
        """Add a line for every kind of fault to the table of all faults."""
        for fault, outcomes in self.counts.items():
            ledger.add(fault, outcomes.total(), detected=outcomes[FOUND], wrong=outcomes[LOST])
