"""A figure's page in the report: the picture, how to read it, and the numbers."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pandas as pd
import pytest

from fsar_core.papers.registry import kind, kinds, load_figure
from fsar_core.rendering import figure_page
from tests.rendering.test_html import Cells

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "workflow" / "figures").glob("*.yaml"))


def test_every_kind_of_figure_has_a_caption_that_says_how_to_read_it():
    captions = [kind("figures", name).caption for name in kinds("figures")]
    assert len(captions) == len(set(captions)) >= 10
    assert all(len(caption.split()) > 25 for caption in captions)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_picture_caption_and_notes(tmp_path, path):
    (tmp_path / "f.png").write_bytes(b"a picture")
    figure = load_figure(path)
    page = figure_page.page(path.stem, figure, tmp_path / "f.png", pd.DataFrame())
    shown = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert [base64.b64decode(own) for own in shown] == [b"a picture"]
    said = (
        re.sub(r"<[^>]+>", "", page)
        .replace("&#x27;", "'")
        .replace("&quot;", '"')
        .replace("&lt;", "<")
        .replace("&gt;", ">")
    )
    for line in (figure.title, figure.where, figure.caption, f"{path.stem}.csv", *figure.notes):
        assert line in said
    assert "The numbers that are drawn" not in page  # of an empty table
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []


def test_the_numbers_are_those_of_the_csv(tmp_path):
    (tmp_path / "f.png").write_bytes(b"x")
    table = pd.DataFrame(
        {"method": ["A"] * 250, "accuracy": [61.23456] * 249 + [float("nan")], "episodes": 1000}
    )
    figure = load_figure(ROOT / "workflow" / "figures" / "sgtm_fig4.yaml")
    few = figure_page.page("f", figure, tmp_path / "f.png", table.tail(2))
    assert Cells(few).rows == [
        ["method", "accuracy", "episodes"],
        ["A", "61.23", "1000"],
        ["A", "", "1000"],
    ]
    assert "The numbers that are drawn (2 rows)" in few
    many = figure_page.page("f", figure, tmp_path / "f.png", table)
    assert len(Cells(many).rows) == 1 + 200 and "(the first 200 of 250 rows)" in many
