"""Gains and effect sizes, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fsar_core.report import effects
from tests.tables.runs import write_run

TABLE = {
    "kind": "accuracy",
    "title": "t",
    "where": "w",
    "backbone": "b",
    "datasets": ["ucf101"],
    "shots": [1, 5],
    "rows": [
        {"method": "A", "published": {"ucf101": {1: 50.0, 5: None}}},
        {"method": "B", "compare_to": "A", "published": {"ucf101": {1: "53.5*", 5: 60.0}}},
    ],
}
CELLS = [["A", "demo", "1shot", "a1"], ["B", "demo", "1shot", "b1"], ["B", "demo", "5shot", "b5"]]
SPEC = effects.ComparedTable(name="x_table3", table=TABLE, cells=CELLS)


@pytest.fixture
def runs(tmp_path):
    # Episode accuracies of A: 1/2, 0, 1/2, 1; of B: 1, 1/2, 1/2, 1. Differences: 1/2, 1/2, 0, 0.
    write_run(tmp_path, "a1", [[1, 0], [0, 0], [1, 0], [1, 1]])
    write_run(tmp_path, "b1", [[1, 1], [1, 0], [0, 1], [1, 1]])
    write_run(tmp_path, "b5", [[1, 1], [1, 0], [0, 1], [1, 1]])
    return tmp_path


def test_a_gain_with_its_interval_and_its_effect_size(runs):
    (row,) = effects.effects([SPEC], runs).itertuples()
    deviation = np.sqrt(4 * 0.25**2 / 3)
    assert (row.table, row.dataset, row.column, row.method, row.over, row.episodes) == (
        "x_table3",
        "demo",
        "1-shot",
        "B",
        "A",
        4,
    )
    assert row.gain == pytest.approx(25.0)
    assert row.ci95 == pytest.approx(100 * 3.1824463 * deviation / 2, rel=1e-6)
    assert row.d == pytest.approx(0.25 / deviation)


def test_equal_comparisons_of_two_tables_count_once(runs):
    assert len(effects.effects([SPEC, SPEC.model_copy(update={"name": "x_table4"})], runs)) == 1


@pytest.mark.parametrize(
    ("difference", "d"),
    [
        ([0.0, 0.0], 0.0),
        ([0.5, 0.5], np.inf),
        ([-0.5, -0.5], -np.inf),
        ([0.0, 1.0], 0.5 / np.sqrt(0.5)),
    ],
)
def test_effect_sizes_without_spread(difference, d):
    assert effects.cohens_d(np.array(difference)) == pytest.approx(d)


def test_printed_differences_need_both_numbers():
    assert effects.printed_effects([SPEC]) == [("x_table3", "ucf101", "1-shot", "B", "A", 3.5)]


def test_the_page_keeps_measured_and_printed_apart(runs):
    page = effects.EffectsPage(tables=[SPEC], runs_folder=runs).render("x")
    measured, printed = page.split('<div class="printed">')
    assert "<td>+25.0 ± 45.9</td><td>+0.87</td><td>Table 3</td>" in measured
    assert "<td>+3.5</td>" in printed and "+3.5" not in measured
    assert (
        measured.count("<img ") == 1
        and "mean gain of an episode over its standard deviation" in measured
    )
    empty = SPEC.model_copy(update={"cells": []})
    assert "No row" in effects.EffectsPage(tables=[empty], runs_folder=runs).render("x")


def test_a_gain_whose_interval_holds_0_is_pale(runs):
    axes = effects.draw(effects.effects([SPEC], runs)).axes[0]
    (bar,) = axes.containers
    assert bar.lines[0].get_alpha() == 0.35  # 25.0 ± 45.9
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Table 3: B over A, 1-shot"]


def test_tables_are_called_as_in_the_paper():
    assert [
        effects.table_title(name) for name in ("x_table3", "x_table12", "x_components", "mine")
    ] == [
        "Table 3",
        "Table 12",
        "components",
        "mine",
    ]
