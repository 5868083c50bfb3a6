"""Snakemake's report: what is in it, and that it needs no network."""

from __future__ import annotations

import re

import pytest

from fsar_core.papers.naming import papers
from fsar_core.papers.registry import kinds, page_kinds
from tests.workflow.folders import REPOSITORY, Folder, study

pytestmark = pytest.mark.workflow


def test_every_table_and_figure_of_every_paper_is_in_the_report(tmp_path):
    """Whatever is registered, in some paper's report; and of each paper every page."""
    whole = study()
    jobs = Folder(tmp_path).planned(
        "--", *(f"report_{paper}" for paper in papers(whole.table_names))
    )
    assert papers(whole.table_names) == ["dmgal", "i2st", "sgtm"]
    assert sorted(jobs["table"]) == [f"table={name}" for name in whole.table_names]
    assert sorted(jobs["figure"]) == [f"figure={name}" for name in whole.figure_names]
    pages = {
        f"paper={paper}, kind={kind}"
        for paper in papers(whole.table_names)
        for kind in kinds("report")
    }
    assert len(jobs["page"]) == len(pages) and set(jobs["page"]) == pages


def test_a_papers_report_has_nothing_of_the_others(tmp_path):
    jobs = Folder(tmp_path).planned("--", "report_sgtm")
    assert sorted(jobs["table"]) == [f"table=sgtm_table{number}" for number in range(1, 7)]
    assert sorted(jobs["figure"]) == [
        f"figure={name}" for name in study().figure_names if name.startswith("sgtm_")
    ]
    assert sorted(jobs["page"]) == [f"paper=sgtm, kind={kind}" for kind in kinds("report")]


def test_one_file_with_captions_and_nothing_from_elsewhere(tmp_path):
    """Of a table that only counts parameters."""
    folder, target = Folder(tmp_path), "results/tables/dmgal_table7.html"
    folder.ok("--", target)
    style = str(REPOSITORY / "workflow" / "report" / "style.css")
    folder.ok("--report", "report.html", "--report-stylesheet", style, "--", target)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="https?://|@import|url\(["\']?https?:', text) == []
    for said in (
        "What this is.",
        "Under the blue bar",
        study().table("dmgal_table7").title,
        "On a narrow",
        "this workflow draws them",
    ):
        assert said in text, said
    page = (tmp_path / target).read_text(encoding="utf-8")
    assert "22.06M" in page and '<div class="' in page


def test_every_kind_of_page_has_a_caption():
    assert all(len(page.caption.split()) > 10 for page in page_kinds().values())
