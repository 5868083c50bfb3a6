"""Everything that some version wrote is read for ever: each folder beside this file holds one of everything, as it was written.

A new folder is made (`python -m tests.formats.make`) whenever a layout or a format gets another number; none is ever changed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from fsar_core.data.index import read_index
from fsar_core.episodes import tables
from fsar_core.evaluation.results import read_queries, read_summary
from fsar_core.evaluation.statistics import t95
from fsar_core.maintenance.verify import check
from fsar_core.specs import LAYOUT_VERSION, RunSpec
from fsar_core.storage import checkpoint
from fsar_core.stores import layout as layouts
from fsar_core.stores.verify import examine
from tests.formats import make

HERE = Path(__file__).parent
# Written when intervals were 1.96 standard errors, whatever the number of episodes.
NORMAL_INTERVALS = {"layout1", "layout1_with_saliency", "layout1_without_sums"}
WRITTEN = sorted(path.name for path in HERE.iterdir() if (path / "expected.json").exists())


@pytest.fixture(params=WRITTEN)
def kept(request, tmp_path) -> Path:
    """A copy: reading a store makes a lock file in it."""
    return Path(shutil.copytree(HERE / request.param, tmp_path / request.param))


def test_every_layout_is_here():
    """Raising LAYOUT_VERSION without a kept example of it fails here."""
    found = {
        json.loads((HERE / name / "frames" / "plan.json").read_text())["layout"] for name in WRITTEN
    }
    assert found == set(range(1, LAYOUT_VERSION + 1))


@pytest.fixture
def run_folder(kept, tmp_path) -> Path:
    """The kept run under its name, as the rules have it."""
    name = json.loads((kept / "run" / "summary.json").read_text())["run"]
    return Path(shutil.copytree(kept / "run", tmp_path / name))


def test_nothing_of_it_is_damaged(kept, run_folder):
    stores = [kept / kind for kind in json.loads((kept / "expected.json").read_text())["stores"]]
    for path in (*stores, run_folder, *kept.glob("*.npz"), kept / "index.tsv"):
        assert check(path).faults == [], path
    assert check(kept / "model" / "checkpoint.pt").faults == []


@pytest.mark.parametrize("kind", ["frames", "features", "masks", "saliency"])
def test_stores(kept, kind):
    expected = json.loads((kept / "expected.json").read_text())
    if kind not in expected["stores"]:
        pytest.skip("a kind of store that is younger than this example")
    plan = layouts.read_plan(kept / kind)
    spec = layouts.SPECS[kind].model_validate(plan.spec)
    assert make.content(kept / kind, spec) == expected["stores"][kind]
    found = examine(kept / kind)
    assert found.sealed and found.planned == plan


def test_the_clips_that_failed_are_known(kept):
    failures = json.loads((kept / "frames" / "manifest.json").read_text())["failures"]
    assert [entry["row"] for entry in failures] == [make.BROKEN] and "empty file" in failures[0][
        "problem"
    ]
    pd.testing.assert_frame_equal(read_index(kept / "index.tsv"), make.index())


def test_a_kept_model_gives_the_kept_result(kept, run_folder, tmp_path):
    run = RunSpec.model_validate(json.loads((kept / "expected.json").read_text())["run"])
    assert tables.load(kept / "test.npz", run.test).spec == run.test
    assert len(tables.load(kept / "val.npz", run.validation)) == run.validation.count
    trained = checkpoint.load(kept / "model" / "checkpoint.pt")
    # A spec that has got a field since then has another digest.
    checkpoint.save(tmp_path / "checkpoint.pt", trained | {"run": run.model.digest})
    tested = tmp_path / "again" / run.run_id
    make.evaluate(kept, tested, run, tmp_path / "checkpoint.pt")
    old, new = read_summary(run_folder), read_summary(tested)
    student = t95(old["episodes"] - 1) / 1.959963984540054 if kept.name in NORMAL_INTERVALS else 1.0
    assert new["ci95"] == pytest.approx(student * old["ci95"], rel=1e-9)
    for key in (
        "dataset",
        "accuracy",
        "episodes",
        "per_class",
        "confusion",
        "class_names",
        "parameters",
    ):
        assert new[key] == old[key], key
    pd.testing.assert_frame_equal(read_queries(tested), read_queries(run_folder), rtol=1e-3)
