"""How much goes through which jobs, and what is needed before what. That jobs by rule are those that Snakemake plans is tested in
tests/workflow/test_budget.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsar_core.maintenance.work import Works, grid_values
from tests.workflow.folders import study

CLIPS = {"train": 24 * 8, "val": 8 * 7, "test": 16 * 7}  # of a demo data set in tests/workflow/smoke.yaml
ALL = sum(CLIPS.values())


@pytest.fixture(scope="module")
def works():
    return Works(study())


def of_rule(works: Works, rule: str, holds: str = "") -> list:
    return [work for path, work in works.by_path.items() if work.rule == rule and holds in str(path)]


def test_a_frame_store(works):
    (work,) = of_rule(works, "fill_frames", "demo_temporal.8x40.")
    assert work.clips == ALL
    assert work.stored == ("frames", ALL * 8 * 40 * 40 * 3)
    assert [rule for rule, _ in work.parts] == ["plan_frames", "seal_frames", *["fill_frames"] * 3]  # 360 clips by 128
    (four,) = of_rule(works, "fill_frames", "demo_temporal.4x40.")
    assert four.clips == ALL / 2


def test_a_feature_store(works):
    (work,) = of_rule(works, "fill_features", "demo_temporal.demo_vit.")
    # The tokens of demo_vit: 4 patches of 16 pixels in a 32-pixel crop and the class token, 64 channels; float16.
    assert work.stored == ("features.demo_vit", ALL * 8 * (2 * 2 + 1) * 64 * 2)
    assert work.stage == "fill_features.demo_vit"
    assert work.gpu


def test_masks_are_of_training_clips_alone(works):
    (work,) = of_rule(works, "fill_masks", "demo_spatial.")
    assert work.stored == ("masks", CLIPS["train"] * 8 * 40 * 40)
    assert not work.gpu


def test_a_training_and_a_test(works):
    planned = study()
    cell = next(
        c for c in planned.experiments.cells("dmgal_table2") if c.row.method == "DMGAL-FT (OTAM)" and c.column.shot == 5
    )
    model, run = (
        works.by_path[p]
        for p in (planned.paths.model(cell.run.model) / "checkpoint.pt", planned.paths.run(cell.run) / "summary.json")
    )
    # 16 episodes of 5 x (5 + 1) clips, and 2 validations on 10 episodes of as many, a third of the work each.
    assert model.clips == pytest.approx(16 * 30 + 2 * 10 * 30 / 3)
    assert model.stage == "train_head.dmgal.otam"
    assert run.clips == 40 * 30
    assert model.made in run.needs
    assert planned.paths.store(cell.run.features) / "manifest.json" in model.needs


def test_what_has_nothing_to_learn_is_only_validated(works):
    planned = study()
    rows = {c.row.method: c.run for c in planned.experiments.cells("dmgal_table2") if c.column.shot == 1}
    clips = {name: works.by_path[planned.paths.model(run.model) / "checkpoint.pt"].clips for name, run in rows.items()}
    assert clips["OTAM"] == clips["Bi-MHM"] == pytest.approx(10 * 10 / 3)
    assert clips["TRX"] == clips["SCA"] == clips["DMGAL-FT (TRX)"] == pytest.approx(16 * 10 + 2 * 10 * 10 / 3)


def test_what_is_done_needs_nothing(works, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = works.targets["dmgal_table1"]  # counts clips: two indices, of demo videos
    before = list(works.behind([target]))
    assert [work.rule for work in before].count("demo_videos") == 2
    index = next(work for work in before if work.rule == "clip_index")
    index.made.parent.mkdir(parents=True)
    index.made.touch()
    left = list(works.behind([target]))
    assert [work.rule for work in left].count("demo_videos") == 1
    assert index not in left
    assert len(list(works.behind([target], done=True))) == len(before)
    target.parent.mkdir(parents=True)
    target.touch()
    assert list(works.behind([target])) == []


def test_a_figure_is_done_with_its_page(works, tmp_path, monkeypatch):
    """Which is written last."""
    monkeypatch.chdir(tmp_path)
    target = works.targets["dmgal_fig4"]
    target.parent.mkdir(parents=True)
    for ending in (".png", ".pdf", ".csv"):
        target.with_suffix(ending).touch()
    assert "figure" in {work.rule for work in works.behind([target])}
    target.touch()
    assert list(works.behind([target])) == []


@pytest.mark.parametrize(
    ("name", "params", "cut", "crop", "values"),
    [
        ("resnet50", {}, "layer4", 224, 2048 * 7 * 7),
        ("resnet50", {}, "layer3", 112, 1024 * 7 * 7),
        ("demo_cnn", {"dim": 32}, "layer4", 64, 32 * 4 * 4),
        ("clip_vit_b16", {}, "tokens", 224, 768 * 197),
    ],
)
def test_numbers_of_a_cut(name, params, cut, crop, values):
    """Nothing is computed, and no weights are asked for."""
    spec = study().features("demo_temporal")
    backbone = spec.backbone.model_copy(update={"name": name, "params": params})
    assert grid_values(spec.model_copy(update={"backbone": backbone, "cut": cut, "crop": crop})) == values


def test_every_target_is_there(works):
    names = {path.stem for kind in ("tables", "figures") for path in (Path(study().workflow) / kind).glob("*.yaml")}
    assert set(works.targets) == names
    assert all(path in works.by_path for work in works.by_path.values() for path in work.needs)
