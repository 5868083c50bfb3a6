"""What a paper's pages are made of."""

from __future__ import annotations

import json

import pytest

from fsar_core.papers.naming import of_paper, papers
from fsar_core.papers.registry import kinds, page_kinds
from fsar_core.report._runs import models_of, runs_of
from tests.workflow.folders import study


@pytest.fixture(scope="module")
def planned():
    return study()


def gathered(planned, paper, kind):
    """The spec of a page's job."""
    page = page_kinds()[kind].gather(planned, of_paper(planned.table_names, paper))
    return page.model_dump(mode="json")


def test_every_table_and_figure_is_of_one_paper(planned):
    every = papers(planned.table_names)
    for names in (planned.table_names, planned.figure_names):
        assert sorted(name for paper in every for name in of_paper(names, paper)) == names
    assert "dmgal_components" in of_paper(planned.table_names, "dmgal")
    assert "i2st_masks" in of_paper(planned.figure_names, "i2st")


@pytest.mark.parametrize("paper", ["dmgal", "i2st", "sgtm"])
def test_every_run_and_model_is_there_once_and_can_be_told_apart(planned, paper):
    cells = [
        cell
        for name in of_paper(planned.table_names, paper)
        for cell in planned.experiments.cells(name)
    ]
    found = runs_of(planned, of_paper(planned.table_names, paper))
    assert [own.run for own in found] == list(dict.fromkeys(cell.run.run_id for cell in cells))
    trained = models_of(planned, of_paper(planned.table_names, paper))
    assert {own.model for own in trained} == {cell.run.model.model_id for cell in cells}
    assert len(trained) == len({own.model for own in trained})


@pytest.mark.parametrize("paper", ["dmgal", "i2st", "sgtm"])
@pytest.mark.parametrize("kind", kinds("report"))
def test_a_shell_takes_it(planned, paper, kind):
    """Linux takes 128 KiB for one word of a command, and the whole command is one."""
    text = json.dumps(gathered(planned, paper, kind))
    assert len(text.encode()) < 100_000


def test_comparisons_hold_every_row_that_one_needs(planned):
    (spec,) = [
        s for s in gathered(planned, "dmgal", "effects")["tables"] if s["name"] == "dmgal_table2"
    ]
    methods = [row["method"] for row in spec["table"]["rows"]]
    assert methods == [row.method for row in planned.table("dmgal_table2").rows if row.head]
    assert len(spec["cells"]) == 8 * 3


def test_data_names_the_stores_behind_the_tables(planned):
    spec = gathered(planned, "dmgal", "data")
    assert spec["behind"]["ssv2_full"] == "demo_temporal"
    assert set(spec["datasets"]) == {"demo_temporal", "demo_spatial"}
    for card in spec["datasets"].values():
        assert len(card["frames"]) == len(set(card["frames"])) >= 1
    assert spec["preset"] == "demo"
