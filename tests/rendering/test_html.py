"""Pages that stand alone, and say what they are given."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd

from fsar_core.rendering import html
from fsar_core.rendering import tables as render
from fsar_core.rendering.tables import Block


class Cells(HTMLParser):
    """Rows of all tables of a page, as texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def test_a_table_holds_its_cells_whatever_signs_they_have():
    rows = [["<b>&", "1.0 ± 0.5"], ['"x"', "</td><script>alert(1)</script>"]]
    page = html.page("a < b", html.table(["name", "value"], rows))
    assert Cells(page).rows == [["name", "value"], *rows]
    assert "<script" not in page
    assert "<title>a &lt; b</title>" in page


def test_nothing_comes_from_elsewhere():
    page = html.page("t", html.paragraph("p"), html.heat("c", ["x"], [("r", [0.5], ["50"])]))
    assert re.findall(r"(?:src|href)=|url\(|@import|<script", page) == []
    assert 'name="viewport"' in page


def test_the_larger_the_share_the_darker():
    page = html.heat("c", ["x", "y", "z"], [("r", [0.25, None, 0.9], ["25", "", "90"])])
    assert Cells(page).rows == [["c", "x", "y", "z"], ["r", "25", "", "90"]]
    assert re.findall(r"rgba\(31,111,178,([0-9.]+)\)", page) == ["0.25", "0.90"]
    assert page.count("color:#fff") == 1  # readable on the dark cell alone


def test_sentences_may_break_and_names_do_not():
    page = html.table(["Method", "demo 1-shot"], [["A", "x" * 41], ["B", "x" * 40]])
    assert page.count('class="long"') == 1 and f'<td class="long">{"x" * 41}</td>' in page
    assert "<th>demo <span>1-shot</span></th>" in page  # not at its hyphen
    assert Cells(page).rows[0] == ["Method", "demo 1-shot"]


def test_a_printed_column_among_measured_ones_is_marked(tmp_path):
    blocks = [
        Block(
            "Measured here: x.",
            ["Method", "ucf101 1-shot", "ucf101 1-shot, printed"],
            [["A", "61.0 ± 1.2", "63.5"]],
        ),
        Block(
            "Parameters counted here.",
            ["Method", "Counted", "Printed"],
            [["B", "22,055,938", "22.06M"]],
        ),
    ]
    render.write(tmp_path / "t", pd.DataFrame(), "Title", blocks, [])
    page = (tmp_path / "t.html").read_text()
    assert re.findall(r'<td class="quoted">([^<]*)</td>', page) == ["63.5", "22.06M"]
    assert page.count('<th class="quoted">') == 2 and "<td>61.0 ± 1.2</td>" in page


def test_measured_and_printed_are_marked_apart(tmp_path):
    blocks = [
        Block("Measured here: x.", ["Method"], [["A"]]),
        Block("Printed in y.", ["Method"], [["B"]]),
    ]
    render.write(tmp_path / "t", pd.DataFrame({"method": ["A"]}), "Title", blocks, ["a note"])
    page = (tmp_path / "t.html").read_text()
    measured, printed = page.split('<div class="printed">')
    assert (
        '<div class="measured">' in measured
        and "<td>A</td>" in measured
        and "<td>B</td>" not in measured
    )
    assert "<td>B</td>" in printed and "<li>a note</li>" in printed
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".md", ".tex", ".html"}
