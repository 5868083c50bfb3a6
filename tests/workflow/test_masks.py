"""Masks in the workflow: made for the runs that learn from them, read in training, and by nothing that tests."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.workflow.conftest import Folder, study, summaries

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def run():
    """A run of I2ST on the data set that the shared folder has."""
    cells = study().cells("i2st_table1")
    return next(c.run for c in cells if c.row.method.startswith("I") and c.run.features.dataset == "demo_temporal")


def test_only_runs_that_learn_from_masks_need_them(smoke, run):
    target = f"results/runs/{run.run_id}/summary.json"
    jobs = smoke.planned("--", target)
    assert set(jobs) == {"plan_masks", "fill_masks", "seal_masks", "train_head", "evaluate_head"}
    assert "plan_masks" not in smoke.planned("-R", "train_head", "--", *summaries("Bi-MHM"))
    assert set(smoke.planned("--", "masks")) >= {"plan_masks", "fill_masks", "seal_masks"}


def test_evaluation_reads_no_masks(smoke, run, tmp_path):
    """The masks are deleted after training, and the frames that they lie over too; the test gives the same result."""
    copy = Folder(tmp_path / "copy")
    shutil.copytree(smoke.path, copy.path, ignore=shutil.ignore_patterns(".snakemake"))
    target = f"results/runs/{run.run_id}/summary.json"
    copy.ok("--rerun-triggers", "mtime", "--", target)
    history = (copy.path / "results/models" / run.model.model_id / "history.csv").read_text().splitlines()
    assert len(history) == 3
    first = (copy.path / target).read_bytes()
    manifest = json.loads((copy.path / "stores/masks" / run.masks.key / "manifest.json").read_text())
    assert manifest["clips"] == 24 * 8 and manifest["failures"] == []
    shutil.rmtree(copy.path / "stores/masks")
    shutil.rmtree(copy.path / "data")
    for name in ("summary.json", "queries.csv.gz"):
        (copy.path / "results/runs" / run.run_id / name).unlink()
    text = copy.ok("-p", "--rerun-triggers", "mtime", "--allowed-rules", "evaluate_head", "--", target)
    assert "fsar_core evaluate --spec" in text and "fsar_core train" not in text and "--masks" not in text
    assert (copy.path / target).read_bytes() == first
