"""The graph of everything that is made: what there is, from what, and how much work it is.

That its jobs are those that Snakemake plans is tested in tests/workflow/test_budget.py.
"""

from __future__ import annotations

from collections import Counter
from graphlib import TopologicalSorter

import pytest

from fsar_core.errors import FsarError
from fsar_core.maintenance.cost import targets
from fsar_core.specs import FeatureSpec, FrameSpec
from fsar_core.store_kinds.features import grid_values
from fsar_core.stores.kinds import frames_of
from fsar_core.study import Study
from fsar_core.study.artifacts.base import Artifact, Target
from fsar_core.study.artifacts.graph import Graph
from tests.workflow.folders import REPOSITORY, study

# Clips of a demo data set in tests/workflow/smoke.yaml.
CLIPS = {"train": 24 * 8, "val": 8 * 7, "test": 16 * 7}
ALL = sum(CLIPS.values())


@pytest.fixture(scope="module")
def planned() -> Study:
    return study()


@pytest.fixture(scope="module")
def graph(planned) -> Graph:
    return planned.artifacts


def one(graph: Graph, kind: str, start: str) -> Artifact:
    """Return the artifact of a kind whose key begins so."""
    (artifact,) = [a for key, a in graph.of_kind(kind).items() if key.startswith(start)]
    return artifact


def inputs(artifact: Artifact) -> dict[str, list[str]]:
    """Return keys of what an artifact is made from, by kind, under the names of the rule."""
    return {
        name: [f"{need.kind} {need.key}" for need in needs]
        for name, needs in artifact.inputs.items()
        if needs
    }


def test_artifacts_by_kind_under_the_shipped_configuration():
    graph = Study.from_config(REPOSITORY / "config.yaml").artifacts
    assert Counter(artifact.kind for artifact in graph) == {
        "demo_videos": 3,
        "clip_index": 3,
        "frames": 7,
        "backbone": 5,
        "features": 10,
        "masks": 7,
        "mask_pictures": 3,
        "classifier": 3,
        "saliency": 3,
        "episodes": 26,
        "model": 199,
        "run": 244,
        "inspection": 16,
        "actionness": 4,
        "complexity": 3,
        "table": 24,
        "primary_table": 8,
        "figure": 15,
        "page": 15,
        "paper": 3,
        "report": 3,
    }


def test_nothing_needs_itself(graph):
    order = TopologicalSorter({artifact: artifact.needs for artifact in graph}).static_order()
    assert len(list(order)) == len(list(graph))


def test_each_artifact_exists_once(graph):
    artifacts = list(graph)
    places = [place for artifact in artifacts for place in artifact.places]
    assert len(places) == len(set(places))
    for artifact in artifacts:
        assert graph.find(artifact.kind, artifact.key) is artifact
        assert all(need in artifacts for need in artifact.needs[:3])


def test_a_run_needs_its_features_episodes_and_model(graph, planned):
    cells = planned.experiments.cells("dmgal_table2")
    run = next(c.run for c in cells if c.row.method == "DMGAL-FT (OTAM)")
    artifact = graph.of(run)
    assert inputs(artifact) == {
        "features": [f"features {run.features.key}"],
        "trained": [f"backbone {planned.specs.training_of(run.features).key}"],
        "episodes": [f"episodes {run.test.key}"],
        "checkpoint": [f"model {run.model.model_id}"],
    }
    assert str(artifact.path) == f"results/runs/{run.run_id}/summary.json"
    assert artifact.modules == [
        "fsar_core.heads.dmgal",
        "fsar_core.metrics.otam",
        "fsar_core.backbones.demo_cnn",
    ]


def test_a_model_needs_what_its_head_asks_for(graph, planned):
    by_head = {run.head.name: run for run in planned.experiments.runs.values()}
    beside = {
        head: set(inputs(graph.of(by_head[head].model)))
        - {"features", "trained", "index", "validation"}
        for head in ("dmgal", "i2st", "ipm", "sgtm")
    }
    assert beside == {"dmgal": set(), "i2st": {"masks"}, "ipm": {"masks"}, "sgtm": {"saliency"}}
    model = graph.of(by_head["ipm"].model)
    assert model.params["masks"] == f"stores/masks/{by_head['ipm'].masks.key}"
    assert (model.params["saliency"], model.params["others"]) == ("", [])
    assert "fsar_core.inputs.instance_masks" in model.modules


def test_features_at_the_cut_frames_are_the_frame_store(graph, planned):
    features = planned.features("demo_temporal").model_copy(update={"cut": "frames"})
    assert graph.of(features) is graph.of(features.frames)


def test_the_frames_behind_every_store(graph, planned):
    saliency = planned.specs.saliency("demo_temporal")
    for spec in (saliency, saliency.features, saliency.features.frames):
        assert isinstance(frames_of(spec), FrameSpec)
    assert isinstance(saliency.features, FeatureSpec)
    assert frames_of(planned.specs.setup(None).augmentation or saliency.features.backbone) is None


def test_a_paper_is_its_numbered_tables_and_its_figures(graph):
    paper, report = graph.find("paper", "dmgal"), graph.find("report", "dmgal")
    tables = [f"dmgal_table{number}" for number in range(1, 9)]
    assert [table.key for table in paper.inputs["tables"]] == tables
    assert [table.key for table in report.inputs["tables"]] == ["dmgal_components", *tables]
    assert isinstance(paper, Target) and not paper.jobs and not paper.is_done


@pytest.mark.parametrize(
    ("kind", "key", "line"),
    [
        ("run", "x", "no run 'x' under this configuration"),
        ("features", "x", "no store 'x' under this configuration"),
        ("inspection", "f/x", "the figure 'f' looks into no run 'x'"),
        ("mask_weights", "abc/x.pt", "no weights of the SHA-256 abc under this configuration"),
    ],
)
def test_unknown_keys(graph, kind, key, line):
    with pytest.raises(FsarError, match=line):
        graph.find(kind, key)


def test_a_job_is_of_the_artifact_that_its_wildcards_name(graph):
    key = next(iter(graph.of_kind("model")))
    assert graph.of_job("model", {"model": key}) is graph.find("model", key)
    inspection = next(iter(graph.of_kind("inspection").values()))
    figure, run = inspection.spec
    assert graph.of_job("inspection", {"figure": figure, "run": run}) is inspection


def test_a_frame_store(graph):
    store = one(graph, "frames", "demo_temporal.8x40.")
    assert store.work == ("fill_frames", ALL)
    assert store.volume == ("frames", ALL * 8 * 40 * 40 * 3)
    # 360 clips by 128.
    jobs = ["plan_frames", "seal_frames", *["fill_frames"] * 3]
    assert [job.rule for job in store.jobs] == jobs
    assert one(graph, "frames", "demo_temporal.4x40.").work.clips == ALL / 2


def test_a_feature_store(graph):
    store = one(graph, "features", "demo_temporal.demo_vit.")
    # Tokens of demo_vit: 4 patches of 16 pixels in a 32-pixel crop and the class token, 64 channels
    # each; float16.
    assert store.volume == ("features.demo_vit", ALL * 8 * (2 * 2 + 1) * 64 * 2)
    assert store.work.stage == "fill_features.demo_vit"
    assert store.uses_gpu


def test_masks_are_of_training_clips_alone(graph):
    stores = graph.of_kind("masks").values()
    (store,) = [s for s in stores if s.key.startswith("demo_spatial.") and s.spec.frames.count == 8]
    assert store.volume == ("masks", CLIPS["train"] * 8 * 40 * 40)
    assert store.rule == "fill_masks" and not store.uses_gpu


def test_a_training_and_a_test(graph, planned):
    cells = planned.experiments.cells("dmgal_table2")
    method = "DMGAL-FT (OTAM)"
    run = next(c.run for c in cells if c.row.method == method and c.column.shot == 5)
    # 16 episodes of 5 x (5 + 1) clips, and 2 validations on 10 episodes of as many, a third of the
    # work each.
    clips = pytest.approx(16 * 30 + 2 * 10 * 30 / 3)
    assert graph.of(run.model).work == ("train_head.dmgal.otam", clips)
    assert graph.of(run).work.clips == 40 * 30


def test_what_has_nothing_to_learn_is_only_validated(graph, planned):
    cells = planned.experiments.cells("dmgal_table2")
    clips = {c.row.method: graph.of(c.run.model).work.clips for c in cells if c.column.shot == 1}
    assert clips["OTAM"] == clips["Bi-MHM"] == pytest.approx(10 * 10 / 3)
    trained = pytest.approx(16 * 10 + 2 * 10 * 10 / 3)
    assert clips["TRX"] == clips["SCA"] == clips["DMGAL-FT (TRX)"] == trained


def test_what_is_done_needs_nothing(graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # It counts clips: two indices, of demo videos.
    target = graph.get("table", "dmgal_table1")
    before = list(graph.behind([target], done=False))
    assert [artifact.kind for artifact in before].count("demo_videos") == 2
    index = next(artifact for artifact in before if artifact.kind == "clip_index")
    index.path.parent.mkdir(parents=True)
    index.path.touch()
    left = list(graph.behind([target], done=False))
    assert [artifact.kind for artifact in left].count("demo_videos") == 1
    assert index not in left
    assert len(list(graph.behind([target]))) == len(before)
    target.path.parent.mkdir(parents=True)
    target.path.touch()
    assert list(graph.behind([target], done=False)) == []


def test_a_figure_is_done_with_its_page(graph, tmp_path, monkeypatch):
    """Which is written last."""
    monkeypatch.chdir(tmp_path)
    target = graph.get("figure", "dmgal_fig4")
    target.path.parent.mkdir(parents=True)
    for ending in (".png", ".pdf", ".csv"):
        target.path.with_suffix(ending).touch()
    assert not target.is_done
    target.path.touch()
    assert list(graph.behind([target], done=False)) == []


def test_every_table_and_figure_is_a_target(planned):
    folder = REPOSITORY / "workflow"
    files = [path for kind in ("tables", "figures") for path in (folder / kind).glob("*.yaml")]
    assert set(targets(planned)) == {path.stem for path in files}


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
    assert (
        grid_values(spec.model_copy(update={"backbone": backbone, "cut": cut, "crop": crop}))
        == values
    )
