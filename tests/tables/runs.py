"""Test results as files, for pages that read them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fsar_core.evaluation.results import write

NAMES = ["run", "sit", "wave"]


def write_run(
    folder: Path, run: str, correct: list[list[int]], classes: list[list[int]] | None = None
) -> None:
    """A run's files: `correct` of every query of every episode; a wrong query is taken for the next class."""
    rows = []
    for episode, own in enumerate(correct):
        for query, right in enumerate(own):
            number = classes[episode][query] if classes else query % len(NAMES)
            predicted = number if right else (number + 1) % len(NAMES)
            rows.append((episode, 10 * episode + query, number, predicted, right, 0.5))
    queries = pd.DataFrame(
        rows, columns=["episode", "clip", "class", "predicted", "correct", "margin"]
    )
    (folder / run).mkdir(parents=True)
    summary = {"class_names": NAMES, "environment": {"torch": "9.9", "device": "cpu"}}
    write(folder / run / "queries.csv.gz", folder / run / "summary.json", queries, summary)
