"""What was run on which data: counts, failures and settings are those of the files."""

from __future__ import annotations

import pandas as pd
import pytest

from fsar_core.report import data
from fsar_core.report.data import DataPage
from fsar_core.stores import left_out
from tests.rendering.test_html import Cells
from tests.stores.test_left_out import BROKEN, stores  # noqa: F401
from tests.tables.runs import write_run


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """Five clips of three classes, one of them unreadable; a store of 3 MB; one run."""
    index = pd.DataFrame(
        {
            "split": ["train", "train", "train", "val", "test"],
            "class": ["a", "a", "b", "c", "d"],
            "problem": ["", "", "no such file", "", ""],
        }
    )
    lost = left_out.Lost(5, {2: ("b/x.mp4", "no such file")}, 0.25)
    monkeypatch.setattr(data, "read_index", lambda path: index)
    monkeypatch.setattr(data, "read_manifest", lambda store: {"bytes": 3_000_000})
    monkeypatch.setattr(left_out, "of_stores", lambda made, allowed: lost)
    write_run(tmp_path, "r1", [[1, 0], [1, 1]])
    card = {
        "title": "Toy",
        "source": "here",
        "licence": "MIT",
        "max_failures": 0.25,
        "index": "i.tsv",
        "frames": ["s"],
    }
    return {
        "preset": "demo",
        "seed": 7,
        "behind": {"ucf101": "toy", "toy": "toy"},
        "datasets": {"toy": card},
        "runs": ["r1"],
        "runs_folder": str(tmp_path),
    }


def page_of(spec) -> str:
    return DataPage.model_validate(spec).render("x")


def test_counts_failures_and_settings(spec):
    page = page_of(spec)
    rows = Cells(page).rows
    assert ["ucf101", "toy", "Toy"] in rows
    # The unreadable clip is not counted, and so neither is its class.
    assert [
        "toy",
        "1 classes, 2 clips",
        "1 classes, 1 clips",
        "1 classes, 1 clips",
        "MIT",
        "here",
    ] in rows
    assert ["toy", "1 of 5", "20.0%", "25.0%"] in rows
    assert ["toy", "b/x.mp4", "no such file"] in rows
    assert (
        ["preset of config.yaml", "demo"] in rows
        and ["seed", "7"] in rows
        and ["torch", "9.9"] in rows
    )
    assert ["s", "3.0 MB"] in rows


def test_broken_clips_of_a_real_store_are_shown(stores, tmp_path):  # noqa: F811
    """Three of 26: two that the index found, and one that crashed the decoder when one of two stores was filled."""
    index, made, clips = stores
    write_run(tmp_path, "r1", [[1, 0], [1, 1]])
    card = {
        "title": "Toy",
        "source": "here",
        "licence": "MIT",
        "max_failures": 0.25,
        "index": str(index),
    }
    spec = {
        "preset": "demo",
        "seed": 7,
        "behind": {"toy": "toy"},
        "runs": ["r1"],
        "runs_folder": str(tmp_path),
    }
    page = page_of(spec | {"datasets": {"toy": card | {"frames": [str(store) for store in made]}}})
    rows = Cells(page).rows
    assert ["toy", "3 of 26", "11.5%", "25.0%"] in rows
    assert "3 clips and what is wrong with them" in page
    for row, problem in (BROKEN | {11: "the decoder crashed (SIGSEGV)"}).items():
        assert ["toy", clips.path[row], problem] in rows
    # Of a data set that is counted only, those of its index.
    rows = Cells(page_of(spec | {"datasets": {"toy": card | {"frames": []}}})).rows
    assert ["toy", "2 of 26", "7.7%", "25.0%"] in rows


def test_other_data_than_the_papers_are_told_first(spec):
    assert "Other videos stand behind ucf101 here" in page_of(spec)
    same = spec | {"behind": {"toy": "toy"}}
    assert "Other videos" not in page_of(same)
