"""Saliency in the workflow: frames are scored once, read in training, and by nothing that tests."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import torch

from fsar_core.config import load_config
from fsar_core.study import Study
from tests.workflow.folders import REPOSITORY, Folder, overlay, smoke_config, study, summaries

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

MADE = {"train_classifier", "plan_saliency", "fill_saliency", "seal_saliency"}
LIVE = {"presets": {"demo": {"heads": {"sgtm": {"saliency": "live"}}}}}


def run_of(planned: Study, table: str = "sgtm_table2", method: str = "Ours+OTAM"):
    """A run on the data set that the shared folder has."""
    cells = planned.experiments.cells(table)
    return next(
        c.run for c in cells if c.row.method == method and c.run.features.dataset == "demo_temporal"
    )


@pytest.fixture(scope="module")
def run():
    return run_of(study())


@pytest.fixture(scope="module")
def trained(smoke, run, tmp_path_factory) -> Folder:
    """A copy of the shared folder in which a run of SGTM is done."""
    copy = Folder(tmp_path_factory.mktemp("saliency") / "copy")
    shutil.copytree(smoke.path, copy.path, ignore=shutil.ignore_patterns(".snakemake"))
    copy.ok("--rerun-triggers", "mtime", "--", f"results/runs/{run.run_id}/summary.json")
    return copy


def test_only_runs_that_hide_frames_by_it_need_it(smoke, run):
    jobs = smoke.planned("--", f"results/runs/{run.run_id}/summary.json")
    assert set(jobs) == MADE | {"train_head", "evaluate_head"}
    other = run_of(study(), method="Ours+Bi-MHM")
    both = smoke.planned("--", *(f"results/runs/{r.run_id}/summary.json" for r in (run, other)))
    assert all(len(both[rule]) == 1 for rule in MADE) and len(both["train_head"]) == 2
    assert not MADE & set(smoke.planned("-R", "train_head", "--", *summaries("Bi-MHM")))
    assert set(smoke.planned("--", "saliency")) >= MADE


def test_what_is_left(trained, run):
    classifier = trained.path / study().paths.classifier(run.saliency.classifier)
    saved = torch.load(classifier, weights_only=True)
    assert saved["run"] == run.saliency.classifier.digest and saved["model"]["outer.weight"].shape[
        :2
    ] == (24, 512)
    assert len(pd.read_csv(classifier.with_suffix(".csv"))) == run.saliency.classifier.epochs
    manifest = json.loads(
        (trained.path / "stores/saliency" / run.saliency.key / "manifest.json").read_text()
    )
    assert manifest["clips"] == 24 * 8 + 24 * 7 and manifest["failures"] == []
    history = pd.read_csv(trained.path / "results/models" / run.model.model_id / "history.csv")
    assert len(history) == 2 and history.loss.notna().all()


def test_evaluation_reads_no_saliency(trained, run, tmp_path):
    """Store, classifier and videos are deleted after training; the test gives the same result."""
    copy = Folder(tmp_path / "copy")
    shutil.copytree(trained.path, copy.path, ignore=shutil.ignore_patterns(".snakemake"))
    target = f"results/runs/{run.run_id}/summary.json"
    first = (copy.path / target).read_bytes()
    for folder in ("stores/saliency", "weights/saliency", "data"):
        shutil.rmtree(copy.path / folder)
    for name in ("summary.json", "queries.csv.gz"):
        (copy.path / "results/runs" / run.run_id / name).unlink()
    text = copy.ok(
        "-p", "--rerun-triggers", "mtime", "--allowed-rules", "evaluate_head", "--", target
    )
    assert (
        "fsar_core evaluate --spec" in text
        and "fsar_core train" not in text
        and "--saliency" not in text
    )
    assert (copy.path / target).read_bytes() == first


def test_with_a_trained_tail_the_features_behind_the_last_cut_are_made_for_the_classifier_alone(
    trained, run, tmp_path
):
    """The model learns from the cut layer3 on; its frames are scored by the frozen backbone's features, or by its own."""
    tail = {
        "presets": {
            "demo": {"backbone": {"cut": "layer3", "train_tail": True}, "training": {"episodes": 4}}
        }
    }
    for choice in ({}, LIVE):
        config = tmp_path / "tail.yaml"
        settings = overlay(overlay(smoke_config(), tail), choice)
        settings["presets"]["demo"]["head_training"]["sgtm"] = {"episodes": 4}
        config.write_text(json.dumps(settings))
        tailed = run_of(Study(load_config(settings), REPOSITORY / "workflow"))
        scored = tailed.classifier or tailed.saliency.classifier
        assert (
            scored.features == run.features
            and tailed.features.cut == "layer3"
            and tailed.train_tail
        )
        target = f"results/runs/{tailed.run_id}/summary.json"
        trained.ok("--rerun-triggers", "mtime", "--", target, config=config)
        assert json.loads((trained.path / target).read_text())["parameters"] > 10_000


def test_live_scores_need_the_classifier_and_no_store(trained, tmp_path):
    config = tmp_path / "live.yaml"
    settings = overlay(smoke_config(), LIVE)
    config.write_text(json.dumps(settings))
    run = run_of(Study(load_config(settings), REPOSITORY / "workflow"))
    target = f"results/runs/{run.run_id}/summary.json"
    jobs = trained.planned("--rerun-triggers", "mtime", "--", target, config=config)
    # The classifier is that of the store.
    assert set(jobs) == {"train_head", "evaluate_head"}
    trained.ok("--rerun-triggers", "mtime", "--", target, config=config)
    checkpoint = torch.load(
        trained.path / "results/models" / run.model.model_id / "checkpoint.pt", weights_only=True
    )
    classifier = torch.load(
        trained.path / study().paths.classifier(run.classifier), weights_only=True
    )["model"]
    held = {
        k.removeprefix("head.classifier."): v
        for k, v in checkpoint["model"].items()
        if "classifier" in k
    }
    assert held.keys() == classifier.keys() and all(
        torch.equal(held[name], value) for name, value in classifier.items()
    )
