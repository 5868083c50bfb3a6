"""Augmented training: at the cut `frames` anew in every episode, at a later cut from stored views."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fsar_core.config import load_config
from fsar_core.data.index import read_index
from fsar_core.stores.reader import StoreReader
from fsar_core.study import Study
from tests.workflow.folders import REPOSITORY, SMOKE, overlay, smoke_config

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

AUGMENTATION = {
    "support": {"crop": "random", "flip": 0.0},
    "query": {
        "crop": "random",
        "flip": 0.5,
        "jitter": {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.25, "gray": 0.3},
    },
}


def run_of(smoke, tmp_path: Path, changes: dict):
    """(study, run, summary) of DMGAL-FT (OTAM) at 1 shot under a configuration with `changes` in the preset."""
    config = tmp_path / "views.yaml"
    config.write_text(
        yaml.safe_dump(overlay(yaml.safe_load(SMOKE.read_text()), {"presets": {"demo": changes}}))
    )
    study = Study(
        load_config(overlay(smoke_config(), {"presets": {"demo": changes}})),
        REPOSITORY / "workflow",
    )
    cells = study.experiments.cells("dmgal_table2")
    run = next(c.run for c in cells if c.row.method == "DMGAL-FT (OTAM)" and c.column.shot == 1)
    summary = f"results/runs/{run.run_id}/summary.json"
    smoke.ok("--", summary, config=config)
    return study, run, json.loads((smoke.path / summary).read_text())


def test_full_fine_tuning_from_frames(smoke, tmp_path):
    changes = {"augmentation": AUGMENTATION, "backbone": {"cut": "frames", "train_tail": True}}
    study, run, summary = run_of(smoke, tmp_path, changes)
    assert study.paths.store(run.features) == study.paths.store(run.features.frames)
    assert not list((smoke.path / "stores" / "features").glob("*.frames.*"))
    head_only = run_of(smoke, tmp_path, {})[2]
    # demo_cnn with dim 32: 9 * (3 * 8 + 8 * 16 + 16 * 32 + 32 * 32) + 2 * (8 + 16 + 32 + 32)
    assert summary["parameters"] - head_only["parameters"] == 15_368
    # a mirrored clip of demo_temporal may belong to another class: its card takes the flip away
    assert (run.features.augmentation.query.flip, run.features.augmentation.query.jitter.hue) == (
        0.0,
        0.25,
    )
    history = pd.read_csv(smoke.path / "results" / "models" / run.model.model_id / "history.csv")
    assert history.step.tolist() == [8, 16] and np.isfinite(history.loss).all()


def test_augmented_views_are_stored_for_training_clips_only(smoke, tmp_path):
    changes = {"frames": {"views": 3}, "augmentation": AUGMENTATION}
    study, run, summary = run_of(smoke, tmp_path, changes)
    assert summary["episodes"] == 40
    reader = StoreReader(smoke.path / study.paths.store(run.features), "features", run.features)
    index = read_index(smoke.path / study.paths.index(run.features.dataset))
    assert reader.views == 3
    train, test = (int(index.row[index.split == split].iloc[0]) for split in ("train", "test"))
    values = [reader.read_clip(train, view) for view in range(3)]
    assert all(v.any() for v in values) and not np.array_equal(values[0], values[1])
    assert reader.read_clip(test, 0).any() and not reader.read_clip(test, 1).any()
