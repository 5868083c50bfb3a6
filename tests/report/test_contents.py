"""What a paper's pages are made of."""

from __future__ import annotations

import json

import pytest

from fsar_core.report.contents import PAGES, contents, figures_of, models, papers, runs, tables_of
from tests.workflow.folders import study


@pytest.fixture(scope="module")
def planned():
    return study()


def test_every_table_and_figure_is_of_one_paper(planned):
    for of, names in ((tables_of, planned.table_names), (figures_of, planned.figure_names)):
        assert sorted(name for paper in papers(planned) for name in of(planned, paper)) == names
    assert "dmgal_components" in tables_of(planned, "dmgal") and "i2st_masks" in figures_of(planned, "i2st")


@pytest.mark.parametrize("paper", ["dmgal", "i2st", "sgtm"])
def test_every_run_and_model_is_there_once_and_can_be_told_apart(planned, paper):
    cells = [cell for name in tables_of(planned, paper) for cell in planned.experiments.cells(name)]
    found = runs(planned, tables_of(planned, paper))
    assert [own["run"] for own in found] == list(dict.fromkeys(cell.run.run_id for cell in cells))
    trained = models(planned, tables_of(planned, paper))
    assert {own["model"] for own in trained} == {cell.run.model.model_id for cell in cells}
    assert len(trained) == len({own["model"] for own in trained})


@pytest.mark.parametrize("paper", ["dmgal", "i2st", "sgtm"])
@pytest.mark.parametrize("kind", PAGES)
def test_a_shell_takes_it(planned, paper, kind):
    """Linux takes 128 KiB for one word of a command, and the whole command is one."""
    text = json.dumps(contents(planned, paper, kind, tables_of(planned, paper)))
    assert len(text.encode()) < 100_000


def test_comparisons_hold_every_row_that_one_needs(planned):
    (spec,) = [
        s
        for s in contents(planned, "dmgal", "effects", tables_of(planned, "dmgal"))["tables"]
        if s["name"] == "dmgal_table2"
    ]
    methods = [row["method"] for row in spec["table"]["rows"]]
    assert methods == [row.method for row in planned.table("dmgal_table2").rows if row.head]
    assert len(spec["cells"]) == 8 * 3


def test_data_names_the_stores_behind_the_tables(planned):
    spec = contents(planned, "dmgal", "data", tables_of(planned, "dmgal"))
    assert spec["behind"]["ssv2_full"] == "demo_temporal"
    assert set(spec["datasets"]) == {"demo_temporal", "demo_spatial"}
    for card in spec["datasets"].values():
        assert len(card["frames"]) == len(set(card["frames"])) >= 1
    assert spec["preset"] == "demo"
