"""The keys of all stores, episodes, models and runs of the shipped presets are those of earlier releases.

A key that changed means that a user's existing result is no longer recognized and made anew. The
golden files were written by

    python -m tests.formats.test_keys

which is run again only when a key is *meant* to change, or when tables and figures gain rows; lines
may then be added, and each removed line needs a reason in CHANGELOG.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.dry_run import lay_out
from fsar_core.config import load_config, overlay
from fsar_core.study import Study

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("keys")
FIVE_DATA_SETS = ROOT / "benchmarks" / "five_data_sets.yaml"
# name of the golden file -> preset, and whether the papers' own data sets replace the demo's
CONFIGURATIONS = {
    "demo": ("demo", False),
    "paper": ("paper", True),
    "paper_finetuned": ("paper_finetuned", True),
}


def keys_of(study: Study) -> list[str]:
    """Every key of a study as `<kind> <key>`, sorted."""
    keys: set[tuple[str, str]] = set()
    for dataset in sorted(set(study.config.datasets.values())):
        keys.add(("index", study.paths.index(dataset).name))
        keys.add(("frames", study.specs.frames(dataset).key))
        keys.add(("masks", study.specs.masks_of(dataset).key))
    for run in study.experiments.runs.values():
        model = run.model
        keys |= {("run", run.run_id), ("model", model.model_id)}
        keys |= {("episodes", episodes.key) for episodes in (run.validation, run.test)}
        for features in (run.features, run.tested_on):
            keys |= {(features.kind, features.key), ("frames", features.frames.key)}
            training = study.specs.training_of(features)
            if training is not None:
                keys.add(("backbone", training.key))
        if model.masks is not None:
            keys |= {("masks", model.masks.key), ("frames", model.masks.frames.key)}
        if model.saliency is not None:
            keys |= {
                ("saliency", model.saliency.key),
                ("classifier", model.saliency.classifier.key),
            }
        if model.classifier is not None:
            keys.add(("classifier", model.classifier.key))
    for figure in study.figure_names:
        keys |= {("episodes", look.episodes.key) for look in study.experiments.looks(figure)}
        keys |= {("saliency", watch.saliency.key) for watch in study.experiments.watches(figure)}
    return [f"{kind} {key}" for kind, key in sorted(keys)]


def study_of(name: str, folder: Path) -> Study:
    """The study of a configuration, planned in `folder`, where split lists and weights stand in for real ones."""
    preset, five = CONFIGURATIONS[name]
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    if five:
        config = overlay(config, yaml.safe_load(FIVE_DATA_SETS.read_text(encoding="utf-8")))
    return Study(load_config(config | {"preset": preset}), folder / "workflow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("keys")
    lay_out(path)
    return path


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_keys_are_those_of_earlier_releases(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    expected = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert keys_of(study_of(name, folder)) == expected


def write_golden_files() -> None:
    """Write the golden files of all configurations from the present code."""
    import os
    import tempfile

    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(folder)
        os.chdir(folder)
        for configuration in CONFIGURATIONS:
            lines = keys_of(study_of(configuration, folder))
            (GOLDEN / f"{configuration}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden_files()
