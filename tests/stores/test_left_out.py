"""Clips that could not be used: counted and listed beside a table, once each, whatever stores stand behind it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from fsar_core.__main__ import main
from fsar_core.data.index import write_index
from fsar_core.store_kinds import frames as frame_store
from fsar_core.stores import layout, left_out, manifest, writer
from tests.builders import array_blocks, toy_frame_spec, toy_index
from tests.tables.test_accuracy import TABLE, runs  # noqa: F401

BROKEN = {3: "missing: no such file", 7: 'unreadable: a, "b"'}


@pytest.fixture
def stores(tmp_path):
    """Two frame stores of one data set of 26 clips, with 2 and 3 frames; the second lost one clip more when it was filled."""
    index = toy_index({"train": 5, "val": 4, "test": 4}, clips=2)
    for row, problem in BROKEN.items():
        index.loc[row, "problem"] = problem
    write_index(tmp_path / "index.tsv", index)
    made = []
    for count, more in ((2, {}), (3, {11: "the decoder crashed (SIGSEGV)"})):
        spec = toy_frame_spec(count=count, size=16)
        plan, store = frame_store.plan(spec, index, 64), tmp_path / f"frames{count}"
        layout.create(store, plan)
        lost = index.copy()
        for row, problem in more.items():
            lost.loc[row, "problem"] = problem
        values = np.ones((len(index), 1, count, 16, 16, 3), np.uint8)
        blocks = (
            writer.Block({"frames": b.arrays["features"]}, b.failures)
            for b in array_blocks(values, plan.rows(0), lost)
        )
        writer.write_job(store, 0, blocks, store / "receipts" / "0.json")
        manifest.seal(store, 0.2)
        made.append(store)
    return tmp_path / "index.tsv", made, index


def test_every_clip_is_listed_once(stores, tmp_path):
    _, made, index = stores
    lost = {"toy": left_out.of_stores(made, 0.25)}
    assert lost["toy"].clips == 26 and list(lost["toy"].failures) == [3, 7, 11]
    left_out.write(lost, tmp_path / "out" / "t_table1")
    with open(tmp_path / "out" / "t_table1.left_out.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["dataset", "row", "path", "problem"],
        ["toy", "3", index.path[3], "missing: no such file"],
        ["toy", "7", index.path[7], 'unreadable: a, "b"'],
        ["toy", "11", index.path[11], "the decoder crashed (SIGSEGV)"],
    ]
    assert left_out.notes(lost, tmp_path / "t_table1") == [
        "3 of 26 clips of toy could not be used and were left out (11.5%, its card allows 25.0%): they are listed, with reasons, "
        "in t_table1.left_out.csv."
    ]


def test_nothing_lost_is_nothing_said(tmp_path):
    lost = {"toy": left_out.Lost(26, {}, 0.0)}
    assert left_out.notes(lost, tmp_path / "t") == []
    left_out.write(lost, tmp_path / "t")
    assert (tmp_path / "t.left_out.csv").read_text() == "dataset,row,path,problem\n"


def test_an_index_tells_of_data_sets_that_are_only_counted(stores):
    path, _, index = stores
    assert left_out.of_index(path, 0.1) == left_out.Lost(
        26, {row: (index.path[row], problem) for row, problem in BROKEN.items()}, 0.1
    )


def test_the_verb_writes_the_note_and_the_list(stores, runs, tmp_path):  # noqa: F811
    _, made, _ = stores
    cells = [[method, "toy", shot, run.name] for (method, shot), run in runs.items()]
    spec = {
        "table": TABLE, "behind": {"ssv2_small": "toy", "ssv2_full": "toy"}, "cells": cells, "way": 5, "indices": {},
        "modalities": {}, "complexity": None, "frames": {"toy": list(map(str, made))}, "max_failures": {"toy": 0.25},
    }  # fmt: skip
    out = tmp_path / "tables" / "toy_table1"
    words = [
        "table",
        "--name",
        "toy_table1",
        "--spec",
        json.dumps(spec),
        "--runs",
        str(tmp_path / "runs"),
        "--out",
        str(out),
    ]
    assert main(words) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "toy_table1.csv", "toy_table1.html", "toy_table1.left_out.csv", "toy_table1.md", "toy_table1.tex",
    ]  # fmt: skip
    notes = out.with_suffix(".md").read_text().split("Notes\n")[1]
    assert re.search(
        r"^- 3 of 26 clips of toy could not be used and were left out .* in toy_table1.left_out.csv\.$",
        notes,
        re.M,
    )
    assert Path(f"{out}.left_out.csv").read_text().count("\n") == 4
    whole = json.dumps(spec | {"frames": {}})
    assert main([*words[:4], whole, *words[5:]]) == 0
    assert "left out" not in out.with_suffix(".md").read_text()
