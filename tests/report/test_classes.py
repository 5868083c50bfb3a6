"""Classes and confusions, computed by hand."""

from __future__ import annotations

import numpy as np

from fsar_core.report import classes
from tests.rendering.test_html import Cells
from tests.tables.runs import write_run


def test_confusions_in_words():
    counts = np.array([[8, 2, 0], [0, 4, 1], [3, 0, 3]])
    assert classes.confusions(counts, ["a", "b", "c"]) == [
        ("c", "a", 0.5),
        ("a", "b", 0.2),
        ("b", "c", 0.2),
    ]
    assert classes.confusions(np.diag([3, 2, 1]), ["a", "b", "c"]) == []
    assert classes.confusions(np.zeros((2, 2), int), ["a", "b"]) == []


def test_the_page(tmp_path):
    # Class 0: 2 of 2 right for A, 1 of 2 for B; class 1: 1 of 2 for both; class 2: never asked.
    asked = [[0, 1], [0, 1]]
    write_run(tmp_path, "a", [[1, 1], [1, 0]], asked)
    write_run(tmp_path, "b", [[1, 1], [0, 0]], asked)
    runs = [
        {"run": run, "dataset": "demo", "column": "1-shot", "method": run.upper()} for run in "ab"
    ]
    page = classes.ClassesPage(runs=runs, runs_folder=tmp_path).render("x")
    assert "<h2>demo, 1-shot</h2>" in page
    rows = Cells(page).rows
    assert rows[:3] == [
        ["class", "A", "B"],
        ["run", "100 ± 0", "50 ± 635"],
        ["sit", "50 ± 635", "50 ± 635"],
    ]
    # A's confusions, then B's: the one wrong query of `sit` is taken for `wave`.
    assert rows[3:7] == [
        ["true class, taken for", "run", "sit", "wave"],
        ["run", "100", "", ""],
        ["sit", "", "50", "50"],
        ["wave", "", "", ""],
    ]
    assert rows[8] == ["run", "50", "50", ""]
    assert "A: most often taken: sit for wave (50%)" in page
    assert "B: most often taken: run for sit (50%); sit for wave (50%)" in page
