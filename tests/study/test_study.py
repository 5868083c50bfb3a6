"""From a configuration and tables to specs: what is one run, what is another store, and what is refused."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fsar_core.config import load_config
from fsar_core.data import class_prompts
from fsar_core.errors import FsarError
from fsar_core.specs import Component, EpisodeSpec, RunSpec
from fsar_core.storage.weight_files import identity
from fsar_core.study import Study
from fsar_core.study.checks.figures import check_figure

ROOT = Path(__file__).resolve().parents[2]
DEMO = {
    "demo_videos": {
        "clips": {"train": 24, "val": 12, "test": 16},
        "frames": 32,
        "height": 96,
        "width": 128,
        "jobs": 2,
    },
    "frames": {
        "count": 8,
        "policy": "segment_centre",
        "size": 72,
        "fit": "crop",
        "views": 1,
        "clips_per_job": 512,
    },
    "backbone": {
        "name": "demo_cnn",
        "cut": "layer4",
        "crop": 64,
        "training": {"epochs": 12, "batch": 16, "lr": 0.002, "weight_decay": 0.0005},
        "clips_per_job": 1024,
        "batch_clips": 16,
    },
    "episodes": {"way": 5, "test": 1000, "val": 100, "query": 1},
    "training": {
        "episodes": 1600,
        "batch": 4,
        "accumulate": 1,
        "query": 2,
        "optimizer": "adam",
        "lr": 0.001,
        "weight_decay": 0.0,
        "warmup": 20,
        "schedule": "cosine",
        "validations": 8,
    },
    "resources": {
        "decode_threads": 1,
        "backbone_threads": 2,
        "train_threads": 1,
        "mem_mb": 2000,
        "memory_gib": 2.0,
        "evaluation_batch": 20,
    },
}
PRETRAINED = {
    "name": "resnet50",
    "cut": "layer4",
    "crop": 64,
    "weights": "IMAGENET1K_V1",
    "clips_per_job": 1024,
    "batch_clips": 16,
}
CONFIG = {
    "preset": "demo",
    "paper": "a",
    "seed": 0,
    "roots": {"data": "data", "stores": "stores", "weights": "weights", "results": "results"},
    "datasets": {
        "ssv2_small": "demo_temporal",
        "ssv2_full": "demo_temporal",
        "ucf101": "demo_spatial",
    },
    "presets": {"demo": DEMO, "pretrained": DEMO | {"backbone": PRETRAINED}},
}
AUGMENTATION = {
    "support": {"crop": "random", "flip": 0.0},
    "query": {"crop": "random", "flip": 0.5},
}
OTAM = {"head": {"name": "identity"}, "matching": {"name": "otam"}}
TRX = {"head": {"name": "identity"}, "matching": {"name": "trx"}}
DMGAL = {"head": {"name": "dmgal"}, "matching": {"name": "otam"}}
TABLES = {
    "a_table1": {
        "datasets": ["ssv2_small", "ssv2_full"],
        "shots": [1, 5],
        "rows": [
            {"method": "Printed only"},
            {"method": "OTAM", **OTAM},
            {"method": "DMGAL", **DMGAL},
        ],
    },
    "a_table2": {
        "datasets": ["ucf101", "ssv2_full"],
        "shots": [5],
        "rows": [{"method": "Other words for OTAM", **OTAM}, {"method": "TRX", **TRX}],
    },
}


@pytest.fixture
def workflow(tmp_path):
    """A workflow folder with the project's cards and the tables of this module."""
    folder = tmp_path / "workflow"
    (folder / "tables").mkdir(parents=True)
    (folder / "datasets").symlink_to(ROOT / "workflow" / "datasets")
    for name in TABLES:
        write_table(folder, name)
    return folder


def write_table(folder, name, **changes):
    table = {"title": name, "where": "nowhere", "backbone": "ResNet-50", **TABLES[name], **changes}
    (folder / "tables" / f"{name}.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")


def study(workflow, **changes) -> Study:
    """The demo preset; `training__lr=0.1` and the like change it, capitals (`SEED=1`) change the top level."""
    raw = copy.deepcopy(CONFIG)
    for path, value in changes.items():
        place = raw if path.isupper() else raw["presets"]["demo"]
        *parents, last = path.lower().split("__")
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    return Study(load_config(raw), workflow)


def refused(*args, **changes) -> str:
    with pytest.raises(FsarError) as error:
        _ = study(*args, **changes).experiments.runs
    return str(error.value)


# -- figures --------------------------------------------------------------------------------------------------------------

PANELS = [
    {
        "title": "Frames",
        "dataset": "ssv2_full",
        "shots": [1, 5],
        "label": "frames",
        "sets": ["frames"],
        "values": [4, 8],
        "curves": [{"method": "OTAM", **OTAM}],
    },
    {
        "title": "Both",
        "dataset": "ucf101",
        "shots": [1],
        "label": "r1 = r2",
        "sets": ["r1", "r2"],
        "values": [2, 4],
        "curves": [
            {
                "method": "DMGAL",
                "head": {"name": "dmgal", "params": {"mixer": False}},
                "matching": {"name": "otam"},
            }
        ],
    },
]


def write_figure(folder, *panels):
    (folder / "figures").mkdir(exist_ok=True)
    figure = {"title": "Fig. 1", "where": "nowhere", "panels": list(panels)}
    (folder / "figures" / "a_fig1.yaml").write_text(yaml.safe_dump(figure), encoding="utf-8")


def test_the_points_of_a_figure(workflow):
    write_figure(workflow, *PANELS)
    made = study(workflow)
    points = made.experiments.points("a_fig1")
    assert [(p.panel, p.method, p.shot, p.value) for p in points] == [
        *((0, "OTAM", shot, value) for shot in (1, 5) for value in (4, 8)),
        (1, "DMGAL", 1, 2),
        (1, "DMGAL", 1, 4),
    ]
    assert [p.run.features.frames.count for p in points] == [4, 8, 4, 8, 8, 8]
    assert points[4].run.head.params == {"mixer": False, "r1": 2, "r2": 2}
    assert points[4].run.features.dataset == "demo_spatial"
    # 8 frames are the preset's: that run is the table's.
    assert points[1].run in [cell.run for cell in made.experiments.cells("a_table1")]
    assert {p.run.run_id for p in points} <= set(made.experiments.runs)
    assert made.specs.training_of(points[0].run.features) == made.specs.backbone_training(
        "demo_temporal"
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"sets": ["r3"]},
            "a_fig1.yaml: panel 'Both', 'DMGAL': heads 'dmgal' has no parameter 'r3'; did you mean 'r",
        ),
        (
            {"curves": [PANELS[1]["curves"][0] | {"setup": "vit"}]},
            "a_fig1.yaml: panel 'Both', 'DMGAL': preset 'demo' has no setup 'vit'",
        ),
        (
            {"dataset": "ucf"},
            "config.yaml: datasets names nothing behind 'ucf'; did you mean 'ucf101'?",
        ),
    ],
)
def test_mistakes_in_a_figure(workflow, changes, line):
    write_figure(workflow, PANELS[1] | changes)
    assert refused(workflow).startswith(line)


# -- figures that look into runs --------------------------------------------------------------------------------------------

ATTENTION = {
    "kind": "task_attention",
    "subject": {
        "method": "DMGAL",
        "head": {"name": "dmgal"},
        "matching": {"name": "otam"},
        "shot": 5,
    },
    "examples": [
        {"dataset": "ssv2_full", "episode": 2, "query": 1, "frame": 8},
        {"dataset": "ucf101", "episode": 0, "query": 0},
        {"dataset": "ssv2_full", "episode": 1, "query": 4},
    ],
}
EMBEDDING = {
    "kind": "embedding",
    "dataset": "ucf101",
    "episode": {"way": 3, "shot": 30, "query": 10, "count": 7},
    "panels": [{"method": "OTAM", **OTAM, "shot": 5}, {"method": "DMGAL", **DMGAL, "shot": 1}],
}


def write_look(folder, raw, **changes):
    (folder / "figures").mkdir(exist_ok=True)
    figure = {"title": "Fig. 2", "where": "nowhere", **raw, **changes}
    (folder / "figures" / "a_fig2.yaml").write_text(yaml.safe_dump(figure), encoding="utf-8")


BIMHM = {"head": {"name": "identity"}, "matching": {"name": "bimhm"}}
GLOBAL = {"head": {"name": "i2st"}, "matching": {"name": "global_local"}}
CLASS_GAIN = {
    "kind": "class_gain",
    "dataset": "ssv2_full",
    "shots": [1, 3],
    "method": {"method": "I2ST", **GLOBAL},
    "minus": {"method": "Bi-MHM", **BIMHM},
}
CAM = {
    "kind": "cam",
    "panels": [{"method": "Bi-MHM", **BIMHM, "shot": 1}, {"method": "I2ST", **GLOBAL, "shot": 1}],
    "examples": [
        {"dataset": "ucf101", "episode": 3, "query": 4},
        {"dataset": "ssv2_full", "episode": 0, "query": 0},
        {"dataset": "ucf101", "episode": 0, "query": 1},
    ],
}
MASKS = {
    "kind": "masks",
    "datasets": ["ssv2_full", "ucf101"],
    "subject": {"method": "I2ST", **GLOBAL, "shot": 1},
    "examples": 3,
    "clips": 40,
}


def test_the_points_of_gains_are_two_runs_a_shot(workflow):
    write_look(workflow, CLASS_GAIN)
    made = study(workflow)
    points = made.experiments.points("a_fig2")
    assert [(p.panel, p.method, p.shot, p.value) for p in points] == [
        (0, "I2ST", 1, 1),
        (0, "Bi-MHM", 1, 1),
        (1, "I2ST", 3, 3),
        (1, "Bi-MHM", 3, 3),
    ]
    assert made.experiments.looks("a_fig2") == []
    for one, other in (points[:2], points[2:]):
        assert one.run.test == other.run.test and one.run.test.shot == one.shot
        assert (one.run.head.name, other.run.head.name) == ("i2st", "identity")
    assert {p.run.run_id for p in points} <= set(made.experiments.runs)
    check_figure(made, "a_fig2")


def test_class_activations_are_of_every_method_on_the_same_episodes(workflow):
    write_look(workflow, CAM)
    made = study(workflow)
    looks = made.experiments.looks("a_fig2")
    assert [(look.dataset, look.subject.method) for look in looks] == [
        ("ucf101", "Bi-MHM"),
        ("ucf101", "I2ST"),
        ("ssv2_full", "Bi-MHM"),
        ("ssv2_full", "I2ST"),
    ]
    assert looks[0].episodes == looks[1].episodes == looks[0].run.test
    assert looks[1].wanted == {"cam": [(3, 4), (0, 1)]} and looks[2].wanted == {"cam": [(0, 0)]}
    assert made.experiments.points("a_fig2") == []
    check_figure(made, "a_fig2")
    write_look(workflow, CAM, examples=[{"dataset": "ucf101", "episode": 1000, "query": 0}])
    with pytest.raises(
        FsarError, match=r"^a_fig2.yaml: an example has episode 1000; the last one is 999$"
    ):
        check_figure(study(workflow), "a_fig2")


def test_predicted_masks_are_of_runs_that_hold_some_out(workflow):
    write_look(workflow, MASKS)
    made = study(workflow)
    looks = made.experiments.looks("a_fig2")
    assert [look.dataset for look in looks] == ["ssv2_full", "ucf101"]
    assert all(
        look.wanted == {"masks": 3, "clips": 40} and look.run.masks_held_out == 0.1
        for look in looks
    )
    check_figure(made, "a_fig2")
    none = study(workflow, masks={"held_out": 0.0})
    assert none.experiments.runs and none.experiments.looks("a_fig2")[0].run.masks_held_out == 0
    with pytest.raises(
        FsarError, match=r"^a_fig2.yaml: preset 'demo' holds no masks out \(`masks.held_out` is 0\)"
    ):
        check_figure(none, "a_fig2")
    deaf = study(workflow, heads={"i2st": {"mask_weight": 0.0}})
    with pytest.raises(
        FsarError, match=r"^a_fig2.yaml: 'I2ST' learns from no masks, so it predicts none$"
    ):
        check_figure(deaf, "a_fig2")


def test_a_figure_of_attention_looks_into_the_runs_of_tables(workflow):
    write_look(workflow, ATTENTION)
    made = study(workflow)
    looks = made.experiments.looks("a_fig2")
    assert [look.dataset for look in looks] == ["ssv2_full", "ucf101"] and made.experiments.points(
        "a_fig2"
    ) == []
    in_table = {
        (c.paper_dataset, c.row.method, c.column.shot): c.run
        for c in made.experiments.cells("a_table1")
    }
    assert (
        looks[0].run == in_table["ssv2_full", "DMGAL", 5] and looks[0].episodes == looks[0].run.test
    )
    assert looks[0].wanted == {"attention": [(2, 1), (1, 4)], "grid": 3, "episodes": 100}
    assert (
        looks[1].wanted["attention"] == [(0, 0)] and looks[1].run.features.dataset == "demo_spatial"
    )
    assert {look.run.run_id for look in looks} <= set(made.experiments.runs)
    check_figure(made, "a_fig2")


@pytest.mark.parametrize(
    ("clips", "shot", "query"),
    # 40 clips are enough for 30 + 10; fewer are shared out alike, and two queries are the least that can be told apart.
    [(41, 30, 10), (40, 30, 10), (20, 15, 5), (7, 5, 2)],
)
def test_an_episode_of_many_clips_takes_what_there_is(workflow, clips, shot, query):
    write_look(workflow, EMBEDDING)
    made = study(workflow, demo_videos__clips={"train": 24, "val": 12, "test": clips})
    plain, other = made.experiments.looks("a_fig2")
    assert plain.episodes == other.episodes != plain.run.test
    found = plain.episodes
    assert (found.split, found.way, found.shot, found.query, found.count) == (
        "test",
        3,
        shot,
        query,
        7,
    )
    assert (plain.run.test.shot, other.run.test.shot) == (5, 1)
    made.checks.check_episodes(found)
    check_figure(made, "a_fig2")


@pytest.mark.parametrize(
    ("raw", "changes", "line"),
    [
        (
            ATTENTION,
            {"subject": ATTENTION["subject"] | OTAM},
            "a_fig2.yaml: 'DMGAL': the head 'identity' has no attention",
        ),
        (
            ATTENTION,
            {"subject": ATTENTION["subject"] | {"setup": "vit"}},
            "a_fig2.yaml: 'DMGAL': preset 'demo' has no setup 'vit'",
        ),
        (
            EMBEDDING,
            {"dataset": "ucf"},
            "config.yaml: datasets names nothing behind 'ucf'; did you mean 'ucf101'?",
        ),
        (
            EMBEDDING,
            {
                "panels": [
                    {"method": "OTAM", **OTAM, "shot": 5}
                    | {"matching": {"name": "otam", "params": {"lamda_": 1.0}}}
                ]
            },
            "a_fig2.yaml: 'OTAM': matching 'otam' has no parameter 'lamda_'; did you mean 'lambda_'",
        ),
        (
            EMBEDDING,
            {"kind": "embeding"},
            "{workflow}/figures/a_fig2.yaml: unknown kind of figure 'embeding'; did you mean 'embedding'?",
        ),
        (ATTENTION, {"examples": []}, "{workflow}/figures/a_fig2.yaml: examples: "),
        (
            CLASS_GAIN,
            {"dataset": "ucf"},
            "config.yaml: datasets names nothing behind 'ucf'; did you mean 'ucf101'?",
        ),
        (
            CLASS_GAIN,
            {"minus": {"method": "X", **OTAM, "setup": "vit"}},
            "a_fig2.yaml: 'X': preset 'demo' has no setup 'vit'",
        ),
        (
            CLASS_GAIN,
            {"method": CLASS_GAIN["method"] | {"matching": {"name": "bimhm"}}},
            "a_fig2.yaml: 'I2ST': the head 'i2st' puts 1 global tokens before the frames, 'bimhm' expects 0",
        ),
        (
            MASKS,
            {"subject": MASKS["subject"] | OTAM},
            "a_fig2.yaml: 'I2ST': the head 'identity' predicts no masks; choose `i2st` or `ipm`",
        ),
        (MASKS, {"clips": 1}, "{workflow}/figures/a_fig2.yaml: clips: "),
        (
            CAM,
            {"pannels": []},
            "{workflow}/figures/a_fig2.yaml: unknown key 'pannels'; did you mean 'panels'?",
        ),
        (
            ATTENTION,
            {"exmples": []},
            "{workflow}/figures/a_fig2.yaml: unknown key 'exmples'; did you mean 'examples'?",
        ),
    ],
)
def test_mistakes_in_a_figure_that_looks_into_runs(workflow, raw, changes, line):
    write_look(workflow, raw, **changes)
    assert refused(workflow).startswith(line.format(workflow=workflow))


@pytest.mark.parametrize(
    ("kind", "place", "line"),
    [
        ("self_attention", {"episode": 1000}, "an example has episode 1000; the last one is 999"),
        ("self_attention", {"query": 5}, "an example has query 5; the last one is 4"),
        ("task_attention", {"frame": 9}, "an example has frame 9; the last one is 8"),
        ("association", {"frame": 8}, "an example has frame 8; the last one is 7"),
    ],
)
def test_examples_that_are_not_there_stop_their_figure_alone(workflow, kind, place, line):
    write_look(
        workflow,
        ATTENTION,
        kind=kind,
        examples=[{"dataset": "ucf101", "episode": 0, "query": 0, **place}],
    )
    made = study(workflow)
    assert made.experiments.runs
    with pytest.raises(FsarError, match=f"^a_fig2.yaml: {line}$"):
        check_figure(made, "a_fig2")


# -- training by head ---------------------------------------------------------------------------------------------------


def test_a_head_may_train_differently(workflow):
    made = study(workflow, head_training={"i2st": {"episodes": 77, "lr": 0.5}})
    one = made.specs.run("demo_temporal", Component(name="i2st"), Component(name="global_local"), 1)
    other = made.specs.run("demo_temporal", Component(name="dmgal"), Component(name="otam"), 1)
    assert (one.training.episodes, one.training.lr) == (77, 0.5)
    assert one.training.batch == other.training.batch and other.training.episodes == 1600
    line = "config.yaml: head_training.i2st has the unknown key 'episods'; did you mean 'episodes'?"
    assert refused(workflow, head_training={"i2st": {"episods": 7}}).startswith(line)
    assert refused(workflow, head_training={"i2ts": {"episodes": 7}}).startswith(
        "preset 'demo': head_training: unknown name"
    )


# -- tests of one training --------------------------------------------------------------------------------------------------


def test_ways_and_durations_are_tests_of_one_training(workflow):
    write_table(
        workflow,
        "a_table1",
        datasets=["ssv2_full"],
        shots=[1],
        ways=[5, 6, 10],
        rows=[{"method": "TRX", **TRX}],
    )
    rows = [{"method": "TRX", **TRX, "published": {"ssv2_full": {3: 39.8, "all": 44.6}}}]
    write_table(
        workflow, "a_table2", datasets=["ssv2_full"], shots=[1], seconds=[3, "all"], rows=rows
    )
    made = study(workflow)
    five, six, ten = (cell.run for cell in made.experiments.cells("a_table1"))
    short, whole = (cell.run for cell in made.experiments.cells("a_table2"))
    assert [run.test.way for run in (five, six, ten)] == [5, 6, 10] and five.validation.way == 5
    assert (short.test.max_seconds, whole.test.max_seconds) == (3.0, None)
    assert whole == five and len({run.model.model_id for run in (five, six, ten, short)}) == 1
    assert len(made.experiments.models) == 1 and len(made.experiments.runs) == 4
    assert [cell.column.name for cell in made.experiments.cells("a_table1")] == [
        "5way_1shot",
        "6way_1shot",
        "10way_1shot",
    ]
    for run in (ten, short):
        made.checks.check_run(run)
    with pytest.raises(FsarError, match="has 16 classes, 17-way episodes need 17"):
        made.checks.check_episodes(made.specs.episodes("demo_temporal", "test", 1, way=17))


def test_training_on_another_data_set(workflow):
    """Its backbone comes along, so that the features that are tested on are its own."""
    rows = [{"method": "TRX", **TRX}, {"method": "OTAM", **OTAM}]
    write_table(
        workflow, "a_table1", datasets=["ssv2_small"], shots=[1], train_on="ucf101", rows=rows
    )
    made = study(workflow)
    run = made.experiments.cells("a_table1")[0].run
    at_home = made.specs.run("demo_spatial", run.head, run.matching, 1)
    assert run.model == at_home.model and run.features.dataset == "demo_spatial"
    assert (run.tested_on.dataset, run.test.dataset, run.validation.dataset) == (
        "demo_temporal",
        "demo_temporal",
        "demo_spatial",
    )
    assert (
        run.tested_on.backbone == run.features.backbone != made.features("demo_temporal").backbone
    )
    assert run.run_id.startswith("demo_temporal.demo_cnn.identity.trx.1shot.")
    assert made.specs.training_of(run.tested_on) == made.specs.backbone_training("demo_spatial")
    assert made.table("a_table1").paper_datasets() == ["ssv2_small", "ucf101"]
    made.checks.check_run(run)


# -- masks ------------------------------------------------------------------------------------------------------------------

I2ST = {"head": {"name": "i2st"}, "matching": {"name": "global_local"}}


def test_heads_that_learn_from_masks_get_them(workflow):
    made = study(workflow)
    run = made.specs.run("demo_temporal", Component(name="i2st"), Component(name="global_local"), 1)
    assert run.head.params["classes"] == 24
    assert run.masks.frames == run.features.frames and run.masks.provider == Component(
        name="annotated"
    )
    assert run.masks_held_out == 0.1
    other = study(workflow, masks={"held_out": 0.25}).specs.run(
        "demo_temporal", run.head, run.matching, 1
    )
    assert other.masks == run.masks and other.masks_held_out == 0.25 and other.model != run.model
    assert run.masks.source == "masks/{folder}/{video}.png" and run.masks.prompts is None
    assert (
        made.paths.store(run.masks) == Path("stores/masks") / run.masks.key
        and len(made.artifacts.of(run.masks).receipts) == 1
    )
    assert len(study(workflow, masks={"clips_per_job": 64}).artifacts.of(run.masks).receipts) == 9
    for params in ({"instance": False}, {"mask_weight": 0.0}):
        assert (
            made.specs.run(
                "demo_temporal",
                Component(name="i2st", params=params),
                Component(name="global_local"),
                1,
            ).masks
            is None
        )
    assert (
        made.specs.run("demo_temporal", Component(name="ipm"), Component(name="otam"), 1).masks
        == run.masks
    )
    plain = made.specs.run("demo_temporal", Component(name="dmgal"), Component(name="otam"), 1)
    assert plain.masks is None and plain.masks_held_out is None
    assert (
        made.specs.run(
            "demo_temporal", Component(name="ipm"), Component(name="otam"), 1, count=4
        ).masks.frames.count
        == 4
    )
    soft = study(workflow, masks={"params": {"values": "soft"}})
    assert (
        soft.specs.run("demo_temporal", Component(name="ipm"), Component(name="otam"), 1).masks.key
        != run.masks.key
    )
    made.checks.check_run(run)


def test_a_card_without_masks_is_told_where_they_are_needed(workflow):
    made = study(workflow)
    run = made.specs.run("demo_temporal", Component(name="i2st"), Component(name="global_local"), 1)
    bare = run.model_copy(update={"masks": run.masks.model_copy(update={"source": None})})
    with pytest.raises(
        FsarError,
        match=r"^the card of 'demo_temporal' says nothing of masks, .*; add `masks:` to the card",
    ):
        made.checks.check_model(bare)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            I2ST | {"matching": {"name": "otam"}},
            "a_table1.yaml: row 'X': the head 'i2st' puts 1 global tokens before the frames",
        ),
        (
            I2ST | {"head": {"name": "ipm"}},
            "a_table1.yaml: row 'X': the head 'ipm' puts 0 global tokens before the frames",
        ),
        (
            I2ST | {"head": {"name": "i2st", "params": {"fusion": "croos"}}},
            "a_table1.yaml: row 'X': heads 'i2st': fusion='croos'",
        ),
    ],
)
def test_heads_and_metrics_that_do_not_go_together(workflow, row, line):
    write_table(workflow, "a_table1", rows=[{"method": "X", **row}])
    assert refused(workflow).startswith(line)


def test_an_unknown_provider_of_masks(workflow):
    assert refused(workflow, masks={"provider": "anotated"}).startswith(
        "preset 'demo': masks: unknown name 'anotated' in instance_masks; "
    )


TEACHER = {"provider": "seem", "weights": "x.pt"}


@pytest.fixture
def weights(tmp_path):
    """CONFIG's roots.weights as a folder of the test; returns a function that writes a file there."""

    def write(content: bytes, name: str = "x.pt") -> Path:
        path = tmp_path / "weights" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


def taught(workflow, tmp_path, **masks) -> Study:
    roots = CONFIG["roots"] | {"weights": str(tmp_path / "weights")}
    return study(workflow, ROOTS=roots, masks=TEACHER | masks)


def test_a_checkpoint_or_a_prompt_makes_another_store(workflow, tmp_path, weights):
    """And so does every parameter; how many frames are looked at together does not."""
    weights(b"one")
    made = taught(workflow, tmp_path).specs.masks_of("demo_temporal")
    assert made.weights == f"sha256:{hashlib.sha256(b'one').hexdigest()}" and made.source is None
    clips = study(workflow).dataset("demo_temporal").clips
    names = sorted(set(clips["class"][clips.split == "train"]))
    assert made.prompts == class_prompts.identity(names) and len(names) == 24
    assert made.key.startswith("demo_temporal.seem.")
    others = [
        {"params": {"checkpoint": "seem_focall_v1"}},
        {"params": {"size": 256}},
        {"params": {"threshold": 0.5}},
        {"params": {"precision": "bf16"}},
        {"params": {"template": "a person {class}"}},
    ]
    keys = {
        taught(workflow, tmp_path, **change).specs.masks_of("demo_temporal").key
        for change in others
    }
    weights(b"two")
    keys |= {made.key, taught(workflow, tmp_path).specs.masks_of("demo_temporal").key}
    assert len(keys) == len(others) + 2
    weights(b"one")
    assert (
        taught(workflow, tmp_path, batch_frames=3, clips_per_job=64).specs.masks_of("demo_temporal")
        == made
    )
    assert made.model_copy(update={"prompts": "0" * 12}).key != made.key
    run = taught(workflow, tmp_path).specs.run(
        "demo_temporal", Component(name="ipm"), Component(name="otam"), 1
    )
    assert run.masks == made


def test_only_training_classes_are_prompts(workflow, tmp_path, weights):
    weights(b"one")
    made = taught(workflow, tmp_path)
    data = made.dataset("demo_temporal")
    renamed = data.clips.assign(
        **{"class": data.clips["class"].where(data.clips.split != "test", "unknown to the network")}
    )
    made._datasets["demo_temporal"] = dataclasses.replace(data, clips=renamed)
    assert (
        made.specs.masks_of("demo_temporal").prompts
        == taught(workflow, tmp_path).specs.masks_of("demo_temporal").prompts
    )


def test_weights_by_path_or_address(workflow, tmp_path, weights):
    path = weights(b"one")
    assert (
        taught(workflow, tmp_path).specs.weights.of_masks()
        == path
        == taught(workflow, tmp_path, weights=str(path)).specs.weights.of_masks()
    )
    sha256 = hashlib.sha256(b"one").hexdigest()
    here = taught(workflow, tmp_path).specs.masks_of("demo_temporal")
    assert taught(workflow, tmp_path, sha256=sha256).specs.masks_of("demo_temporal") == here
    # From an address: the same file is the same store, before it is there.
    away = taught(workflow, tmp_path, weights="https://nowhere/y.pt", sha256=sha256)
    assert away.specs.masks_of("demo_temporal") == here
    assert away.specs.weights.of_masks() == tmp_path / "weights/downloaded" / sha256 / "y.pt"
    away.checks.check_masks(here)
    line = f"^preset 'demo': masks: {path} has sha256:{sha256}, expected the `sha256` 0{{64}}; it is another file of that name$"
    with pytest.raises(FsarError, match=line):
        taught(workflow, tmp_path, sha256="0" * 64).specs.masks_of("demo_temporal")


def test_a_folder_of_weights(workflow, tmp_path, weights):
    weights(b"{}", "clipseg/config.json")
    made = taught(workflow, tmp_path, provider="clipseg", weights="clipseg")
    assert made.specs.weights.of_masks() == tmp_path / "weights/clipseg"
    assert made.specs.masks_of("demo_temporal").weights == identity(tmp_path / "weights/clipseg")
    made.checks.check_mask_weights()
    # SEEM's is a file.
    with pytest.raises(
        FsarError,
        match=r"^preset 'demo': masks.weights: no file 'clipseg', here or in roots.weights \(",
    ):
        taught(workflow, tmp_path, weights="clipseg").checks.check_mask_weights()


def test_weights_that_are_not_there_are_told_where_masks_are_needed(workflow, tmp_path):
    made = taught(workflow, tmp_path)
    plain = made.specs.run("demo_temporal", Component(name="dmgal"), Component(name="otam"), 1)
    made.checks.check_run(plain)
    run = made.specs.run("demo_temporal", Component(name="ipm"), Component(name="otam"), 1)
    line = r"^preset 'demo': masks.weights: no file 'x.pt', here or in roots.weights \(.*weights\); 'seem' loads one"
    for check, spec in (
        (made.checks.check_run, run),
        (made.checks.check_masks, made.specs.masks_of("demo_temporal")),
    ):
        with pytest.raises(FsarError, match=line):
            check(spec)


def test_classes_that_are_numbers_are_no_prompts(workflow, tmp_path, weights):
    weights(b"one")
    made = taught(workflow, tmp_path)
    data = made.dataset("demo_temporal")
    made._datasets["demo_temporal"] = dataclasses.replace(
        data, clips=data.clips.assign(**{"class": "train12"})
    )
    with pytest.raises(
        FsarError,
        match=r"^'demo_temporal' has a class 'train12', a number, no text to prompt 'seem' with;",
    ):
        made.checks.check_masks(made.specs.masks_of("demo_temporal"))


@pytest.mark.parametrize(
    ("masks", "line"),
    [
        (
            {"params": {"checkpoint": "seem_focalt"}},
            "instance_masks 'seem': checkpoint='seem_focalt' is not valid; valid: ",
        ),
        (
            {"params": {"chekpoint": 1}},
            "instance_masks 'seem' has no parameter 'chekpoint'; did you mean 'checkpoint'?",
        ),
        (
            {"params": {"size": 16}},
            "instance_masks 'seem': size=16 is not valid; valid: whole numbers from 32 to 2048",
        ),
        (
            {"params": {"size": 512.5}},
            "instance_masks 'seem': size=512.5 is not valid; valid: whole numbers from 32 to 2048",
        ),
        (
            {"params": {"size": True}},
            "instance_masks 'seem': size=True is not valid; valid: whole numbers from 32 to 2048",
        ),
        (
            {"params": {"threshold": 50}},
            "instance_masks 'seem': threshold=50 is not valid; valid: numbers from 0 to 1, or null",
        ),
        (
            {"params": {"threshold": "soft"}},
            "instance_masks 'seem': threshold='soft' is not valid; valid: numbers from 0 to 1, or null",
        ),
        (
            {"params": {"precision": "half"}},
            "instance_masks 'seem': precision='half' is not valid; valid: 'float32', 'bf16', 'fp16'",
        ),
        (
            {"params": {"template": "a photo"}},
            ".params: the template 'a photo' has no {class}; say where the class text goes",
        ),
        (
            {"params": {"template": 3}},
            "instance_masks 'seem': template=3 is not valid; valid: texts",
        ),
        ({"params": {"device": "cuda"}}, ".params: 'device' is set by the jobs; remove it"),
        ({"weights": None}, "'seem' needs `weights:` (a file; README.md, Instance masks)"),
        (
            {"provider": "clipseg", "weights": None},
            "'clipseg' needs `weights:` (a folder; README.md, Instance masks)",
        ),
        (
            {"provider": "clipseg", "weights": "https://x/y", "sha256": "0" * 64},
            "'clipseg' loads a folder, which has no address; download it and name it here",
        ),
        (
            {"provider": "annotated"},
            "'annotated' loads no weights; set `weights: null`, or choose another provider",
        ),
        (
            {"provider": "annotated", "weights": None, "params": {"frames": 1}},
            ".params: 'frames' is set by the jobs; remove it",
        ),
    ],
)
def test_teachers_that_cannot_be_had(workflow, masks, line):
    told = refused(workflow, masks=TEACHER | masks)
    assert told.startswith(
        f"preset 'demo': masks{line}" if line[0] == "." else f"preset 'demo': masks: {line}"
    )


@pytest.mark.parametrize(
    ("masks", "line"),
    [
        (
            {"weights": "https://nowhere/x.pt"},
            "masks: weights 'https://nowhere/x.pt' are an address, which needs their `sha256`",
        ),
        ({"sha256": "ABC"}, "masks.sha256: string should match pattern '^[0-9a-f]{64}$'"),
        ({"sha256": "0" * 64}, "masks: `sha256` is that of `weights`, and none are named"),
        ({"batch_frames": 0}, "masks.batch_frames: input should be greater than or equal to 1"),
    ],
)
def test_masks_in_the_configuration(workflow, masks, line):
    assert line in refused(workflow, masks=masks)


def test_a_configuration_laid_over_another_can_leave_a_teacher_out(workflow):
    made = study(
        workflow, masks=TEACHER | {"provider": "annotated", "params": None, "weights": None}
    )
    assert made.specs.masks_of("demo_temporal") == study(workflow).specs.masks_of("demo_temporal")


# -- saliency ---------------------------------------------------------------------------------------------------------------

SGTM, OTAM_METRIC = Component(name="sgtm"), Component(name="otam")


def sgtm(made, **params):
    return made.specs.run("demo_temporal", Component(name="sgtm", params=params), OTAM_METRIC, 1)


def test_heads_that_hide_frames_by_their_actionness_get_it_from_a_store(workflow):
    made = study(workflow)
    run = sgtm(made)
    scored = run.saliency.classifier
    assert run.classifier is None and "classes" not in run.head.params
    assert scored.features == run.features and scored.seed == 0
    assert (scored.loss, scored.rectified, scored.epochs, scored.hidden) == (
        "cross_entropy",
        True,
        40,
        512,
    )
    assert made.paths.store(run.saliency) == Path("stores/saliency") / run.saliency.key
    assert made.paths.classifier(scored) == Path("weights/saliency") / f"{scored.key}.pt"
    # Computed once: every strategy, weight and shot has the same store.
    others = [sgtm(made, mask=mask) for mask in ("top", "bottom", "middle")] + [
        sgtm(made, reconstruction_weight=0.1)
    ]
    others.append(made.specs.run("demo_temporal", SGTM, Component(name="bimhm"), 5))
    assert all(other.saliency == run.saliency for other in others)
    assert len({r.model.model_id for r in [run, *others]}) == 6
    for params in ({"mask": None}, {"mask": "random"}):
        assert sgtm(made, **params).saliency is None and sgtm(made, **params).classifier is None
    assert made.specs.run("demo_temporal", Component(name="dmgal"), OTAM_METRIC, 1).saliency is None
    assert (
        made.specs.run(
            "demo_temporal", SGTM, OTAM_METRIC, 1, count=4
        ).saliency.features.frames.count
        == 4
    )
    other = study(workflow, saliency={"epochs": 3, "clips_per_job": 64})
    assert sgtm(other).saliency.key != run.saliency.key and sgtm(other).features == run.features
    # 48 classes of 24, 12 or 16 clips: all of them, not those of the training alone.
    assert (
        len(made.artifacts.of(run.saliency).receipts),
        len(other.artifacts.of(run.saliency).receipts),
    ) == (
        1,
        -(-(24 * 24 + 8 * 12 + 16 * 16) // 64),
    )
    made.checks.check_run(run)


def test_a_head_that_scores_live_frames_holds_the_presets_classifier(workflow):
    made = study(
        workflow, saliency={"hidden": 7, "kernel": 3, "loss": "binary", "rectified": False}
    )
    run = sgtm(made, saliency="live")
    assert run.saliency is None and run.classifier.features == run.features
    assert run.head.params == {
        "saliency": "live",
        "classes": 24,
        "classifier_hidden": 7,
        "classifier_kernel": 3,
        "classifier_rectified": False,
    }
    assert run.classifier == sgtm(made).saliency.classifier
    # Where the preset says so for every run.
    assert sgtm(study(workflow, heads={"sgtm": {"saliency": "live"}})).classifier is not None
    assert "classes" not in sgtm(made, saliency="live", mask="random").head.params
    made.checks.check_run(run)


def test_the_classifier_sees_features_of_the_last_cut(workflow):
    """A trained tail runs behind an earlier cut; at the cut `frames` nothing is stored, and views are augmented anew."""
    live = {"backbone__cut": "frames", "backbone__train_tail": True, "augmentation": AUGMENTATION}
    made = study(workflow, **live)
    run = sgtm(made)
    assert run.train_tail and run.features.cut == "frames" and run.features.augmentation is not None
    seen = run.saliency.features
    assert (seen.cut, seen.augmentation, seen.frames) == ("layer4", None, run.features.frames)
    stored = study(workflow, backbone__cut="layer3", augmentation=AUGMENTATION, frames__views=3)
    run = sgtm(stored)
    assert run.features.cut == "layer3" and run.saliency.features == run.features.model_copy(
        update={"cut": "layer4"}
    )
    write_table(
        workflow,
        "a_table1",
        rows=[{"method": "SGTM", "head": {"name": "sgtm"}, "matching": {"name": "otam"}}],
    )
    made = study(workflow, **live)
    seen = made.experiments.cells("a_table1")[0].run.saliency.features
    assert (
        made.specs.training_of(seen) == made.specs.backbone_training("demo_temporal")
        and len(made.artifacts.of(seen).receipts) == 1
    )
    large = study(workflow, backbone__crop=80)
    with pytest.raises(FsarError, match=r"crop 80 is larger than frames\.size 72"):
        large.checks.check_model(large.experiments.cells("a_table1")[0].run)


ACTIONNESS = {
    "kind": "actionness",
    "datasets": ["ssv2_full", "ucf101", "ssv2_small"],
    "examples": 3,
    "salient": 2,
}


def test_the_actionness_of_a_figure_is_that_of_the_runs(workflow):
    write_look(workflow, ACTIONNESS)
    made = study(workflow)
    watches = made.experiments.watches("a_fig2")
    assert [(watch.dataset, watch.setup) for watch in watches] == [
        ("ssv2_full", None),
        ("ucf101", None),
        ("ssv2_small", None),
    ]
    assert watches[0].saliency == watches[2].saliency == sgtm(made).saliency != watches[1].saliency
    assert made.experiments.looks("a_fig2") == [] and made.experiments.points("a_fig2") == []
    # No run needs them, and still it is known how they are made.
    assert made.specs.training_of(watches[1].saliency.features) == made.specs.backbone_training(
        "demo_spatial"
    )
    check_figure(made, "a_fig2")
    write_look(workflow, ACTIONNESS, salient=5)
    with pytest.raises(
        FsarError,
        match=r"^a_fig2.yaml: 5 salient and as many non-salient frames are more than the 8 of",
    ):
        check_figure(study(workflow), "a_fig2")
    write_look(workflow, ACTIONNESS, setup="vit")
    assert refused(workflow).startswith("a_fig2.yaml: preset 'demo' has no setup 'vit'")


def test_class_activations_may_box_frames_by_their_actionness(workflow):
    write_look(workflow, CAM)
    assert study(workflow).experiments.watches("a_fig2") == []
    write_look(workflow, CAM, salient=2, episodes=30)
    made = study(workflow)
    assert [watch.dataset for watch in made.experiments.watches("a_fig2")] == [
        "ucf101",
        "ssv2_full",
    ]
    assert all(look.wanted["evidence"] == 30 for look in made.experiments.looks("a_fig2"))
    write_look(workflow, CAM, salient=5)
    with pytest.raises(FsarError, match=r"^a_fig2.yaml: 5 salient"):
        check_figure(study(workflow), "a_fig2")


CLASS_ACCURACY = {
    "kind": "class_accuracy",
    "dataset": "ssv2_full",
    "shot": 5,
    "methods": [
        {"method": "I2ST", **GLOBAL},
        {"method": "Bi-MHM", **BIMHM},
        {"method": "TRX", **TRX},
    ],
}


def test_the_points_of_accuracies_by_class(workflow):
    write_look(workflow, CLASS_ACCURACY)
    made = study(workflow)
    points = made.experiments.points("a_fig2")
    assert [(p.panel, p.method, p.shot) for p in points] == [
        (0, name, 5) for name in ("I2ST", "Bi-MHM", "TRX")
    ]
    assert len({p.run.test.key for p in points}) == 1 and {p.run.run_id for p in points} <= set(
        made.experiments.runs
    )
    write_look(workflow, CLASS_ACCURACY, methods=CLASS_ACCURACY["methods"][:1])
    assert ": methods: " in refused(workflow)
    write_look(workflow, CLASS_ACCURACY, methods=[CLASS_ACCURACY["methods"][0]] * 2)
    assert refused(workflow).endswith("two methods have one name; names must differ")
    wrong = [*CLASS_ACCURACY["methods"], {"method": "X", **OTAM, "setup": "vit"}]
    write_look(workflow, CLASS_ACCURACY, methods=wrong)
    assert refused(workflow).startswith("a_fig2.yaml: 'X': preset 'demo' has no setup 'vit'")


# -- setups and frames ----------------------------------------------------------------------------------------------------

DEEP = {
    "setups": {
        "deep": {
            "backbone": DEMO["backbone"] | {"cut": "layer3", "clips_per_job": 128},
            "training": {"lr": 0.5},
        }
    }
}


def test_a_setup_is_another_backbone_and_training(workflow):
    rows = [{"method": "Plain", **OTAM}, {"method": "Deep", **OTAM, "setup": "deep"}]
    write_table(workflow, "a_table1", datasets=["ssv2_full"], shots=[1], rows=rows)
    made = study(workflow, **DEEP)
    plain, deep = (cell.run for cell in made.experiments.cells("a_table1"))
    assert (plain.features.cut, plain.training.lr) == ("layer4", 0.001)
    assert (deep.features.cut, deep.training.lr, deep.training.episodes) == ("layer3", 0.5, 1600)
    assert plain.test == deep.test and plain.features.frames == deep.features.frames
    assert (
        plain.features.key != deep.features.key
        and plain.features.backbone == deep.features.backbone
    )
    # 48 classes of 24, 12 or 16 clips in jobs of 1,024 and of 128.
    clips = len(made.dataset("demo_temporal"))
    assert (
        len(made.artifacts.of(plain.features).receipts),
        len(made.artifacts.of(deep.features).receipts),
    ) == (
        1,
        -(-clips // 128),
    )
    assert (
        made.specs.training_of(plain.features) == made.specs.training_of(deep.features) is not None
    )
    assert made.specs.weights_option(deep.features) == str(
        made.paths.weights(made.specs.training_of(deep.features))
    )
    # A whole table may name one; its rows may name another.
    write_table(
        workflow, "a_table1", datasets=["ssv2_full"], shots=[1], rows=rows[:1], setup="deep"
    )
    assert [cell.run for cell in study(workflow, **DEEP).experiments.cells("a_table1")] == [deep]


def test_the_setup_of_a_row_goes_before_that_of_its_table(workflow):
    setups = {
        name: {"training": {"episodes": episodes}}
        for name, episodes in (("table", 12), ("row", 16))
    }
    rows = [{"method": "Usual", **OTAM}, {"method": "Own", **OTAM, "setup": "row"}]
    write_table(workflow, "a_table1", datasets=["ssv2_full"], shots=[1], rows=rows, setup="table")
    cells = study(workflow, setups=setups).experiments.cells("a_table1")
    assert [(cell.setup, cell.run.training.episodes) for cell in cells] == [
        ("table", 12),
        ("row", 16),
    ]


def test_a_setup_may_train_the_presets_own_backbone_longer(workflow):
    """What it says goes before what the preset says of all trainings of a head."""
    rows = [{"method": "Plain", **OTAM}, {"method": "Long", **OTAM, "setup": "long"}]
    write_table(workflow, "a_table1", datasets=["ssv2_full"], shots=[1], rows=rows)
    long = {
        "setups": {"long": {"training": {"episodes": 12}}},
        "head_training": {"identity": {"episodes": 8, "lr": 0.5}},
    }
    plain, longer = (cell.run for cell in study(workflow, **long).experiments.cells("a_table1"))
    assert (plain.training.episodes, longer.training.episodes) == (8, 12)
    assert plain.training.lr == longer.training.lr == 0.5 and plain.features == longer.features


def test_a_row_may_take_another_number_of_frames(workflow):
    rows = [{"method": "8", **OTAM}, {"method": "4", **OTAM, "frames": 4}]
    write_table(workflow, "a_table1", datasets=["ssv2_full"], shots=[1], rows=rows)
    made = study(workflow)
    eight, four = (cell.run for cell in made.experiments.cells("a_table1"))
    assert (eight.features.frames.count, four.features.frames.count) == (8, 4)
    assert eight.test == four.test and eight.run_id != four.run_id
    # The backbone is trained once, on the preset's frames.
    assert eight.features.backbone == four.features.backbone
    assert made.specs.training_of(four.features).frames == eight.features.frames
    assert len(made.artifacts.of(four.features.frames).receipts) == len(
        made.artifacts.of(eight.features.frames).receipts
    )


@pytest.mark.parametrize(
    ("which", "lr", "weight_decay", "milestones"),
    [
        (None, 0.001, 0.0, ()),
        ("as_written", 5e-5, 5e-4, ()),
        ("as_executed", 5e-5, 1e-3, (0.666667,)),
    ],
)
def test_the_published_training_of_a_card(workflow, which, lr, weight_decay, milestones):
    root = workflow.parent
    (workflow / "datasets").unlink()
    (workflow / "datasets").mkdir()
    for name in ("demo_spatial", "demo_temporal"):
        card = yaml.safe_load((ROOT / "workflow/datasets" / name / "card.yaml").read_text())
        if name == "demo_spatial":
            card["training"] = yaml.safe_load(
                (ROOT / "workflow/datasets/ucf101/card.yaml").read_text()
            )["training"]
        (root / "workflow/datasets" / name).mkdir()
        (root / "workflow/datasets" / name / "card.yaml").write_text(yaml.safe_dump(card))
    made = study(workflow, hyperparameters=which, backbone__recipe="molo")
    otam = Component(name="otam")
    found = made.specs.run("demo_spatial", Component(name="identity"), otam, 1).training
    assert (found.lr, found.weight_decay, found.milestones) == (lr, weight_decay, milestones)
    assert found.validations == 8  # what a recipe does not say is the preset's
    assert made.specs.run("demo_temporal", Component(name="identity"), otam, 1).training.lr == 0.001
    # A recipe goes before the preset's training, and what the preset says of a head before the recipe.
    head = {"identity": {"lr": 0.25}}
    made = study(workflow, hyperparameters=which, backbone__recipe="molo", head_training=head)
    found = made.specs.run("demo_spatial", Component(name="identity"), otam, 1).training
    assert (found.lr, found.weight_decay, found.milestones) == (0.25, weight_decay, milestones)


def test_a_preset_may_extend_another(workflow):
    raw = copy.deepcopy(CONFIG)
    raw["presets"]["mine"] = {"extends": "demo", "frames": {"count": 4}, "augmentation": None}
    raw["presets"]["deeper"] = {"extends": "mine", "episodes": {"way": 3}}
    found = load_config(raw).presets["deeper"]
    assert (found.frames.count, found.frames.size, found.episodes.way, found.episodes.test) == (
        4,
        72,
        3,
        1000,
    )
    for name, line in (
        (
            "demmo",
            "config.yaml: presets.mine extends 'demmo': no such preset; did you mean 'demo'?",
        ),
        ("deeper", "extends 'mine': a circle"),
    ):
        raw["presets"]["mine"]["extends"] = name
        with pytest.raises(FsarError) as error:
            load_config(raw)
        assert line in str(error.value)


# -- views ----------------------------------------------------------------------------------------------------------------


def test_a_card_forbids_mirrored_clips(workflow):
    made = study(workflow, augmentation=AUGMENTATION, frames__views=3)
    assert made.dataset("demo_spatial").card.flip and not made.dataset("demo_temporal").card.flip
    assert made.features("demo_spatial").augmentation.query.flip == 0.5
    assert made.features("demo_temporal").augmentation.query.flip == 0.0


def test_at_the_cut_frames_the_frame_store_is_the_feature_store(workflow):
    made = study(
        workflow, augmentation=AUGMENTATION, backbone__cut="frames", backbone__train_tail=True
    )
    run = made.experiments.cells("a_table1")[0].run
    assert made.paths.store(run.features) == made.paths.store(run.features.frames)
    assert run.features.augmentation.support.crop == "random" and run.train_tail


# -- runs ------------------------------------------------------------------------------------------------------------------


def test_cells_in_the_order_of_the_table(workflow):
    cells = study(workflow).experiments.cells("a_table1")
    assert [(cell.row.method, cell.paper_dataset, cell.column.shot) for cell in cells] == [
        (method, dataset, shot)
        for method in ("OTAM", "DMGAL")
        for dataset in ("ssv2_small", "ssv2_full")
        for shot in (1, 5)
    ]
    assert {cell.run.test.shot for cell in cells if cell.column.shot == 5} == {5}


def test_two_paper_data_sets_on_one_card_share_their_runs(workflow):
    cells = {
        (c.row.method, c.paper_dataset, c.column.shot): c.run
        for c in study(workflow).experiments.cells("a_table1")
    }
    for method in ("OTAM", "DMGAL"):
        for shot in (1, 5):
            assert cells[method, "ssv2_small", shot] == cells[method, "ssv2_full", shot]
            assert cells[method, "ssv2_small", shot].features.dataset == "demo_temporal"
    assert len({run.run_id for run in cells.values()}) == 4


def test_equal_rows_of_two_tables_are_one_run(workflow):
    made = study(workflow)
    one = next(
        c.run
        for c in made.experiments.cells("a_table1")
        if (c.row.method, c.column.shot) == ("OTAM", 5)
    )
    other = next(
        c.run
        for c in made.experiments.cells("a_table2")
        if c.row.method.endswith("OTAM") and c.paper_dataset == "ssv2_full"
    )
    assert one.run_id == other.run_id
    # Table 1: OTAM and DMGAL at two shots on one card. Table 2 adds TRX there, OTAM and TRX on the other card.
    assert sorted(run_id.rsplit(".", 1)[0] for run_id in made.experiments.runs) == [
        "demo_spatial.demo_cnn.identity.otam.5shot",
        "demo_spatial.demo_cnn.identity.trx.5shot",
        "demo_temporal.demo_cnn.dmgal.otam.1shot",
        "demo_temporal.demo_cnn.dmgal.otam.5shot",
        "demo_temporal.demo_cnn.identity.otam.1shot",
        "demo_temporal.demo_cnn.identity.otam.5shot",
        "demo_temporal.demo_cnn.identity.trx.5shot",
    ]


def test_runs_are_keyed_by_their_ids_and_survive_json(workflow):
    for run_id, run in study(workflow).experiments.runs.items():
        assert run.run_id == run_id
        assert RunSpec.parse(run.json_text) == run


def test_a_run_says_what_the_preset_says(workflow):
    made = study(workflow, SEED=7)
    run = made.specs.run("demo_spatial", Component(name="dmgal"), Component(name="otam"), 5)
    assert run.test == EpisodeSpec(
        dataset="demo_spatial",
        card=made.dataset("demo_spatial").digest,
        split="test",
        way=5,
        shot=5,
        query=1,
        count=1000,
        seed=7,
        group_disjoint=False,
    )
    assert (
        run.seed
        == run.validation.seed
        == run.features.frames.seed
        == made.specs.backbone_training("demo_spatial").seed
        == 7
    )
    assert (run.validation.split, run.validation.shot) == ("val", 5)
    assert run.validation.count == 100
    assert run.train_shot == 5
    assert run.training.lr == 0.001
    assert run.features == made.features("demo_spatial")


def test_training_at_another_shot_than_the_tested_one(workflow):
    run = study(workflow, episodes__train_shot=1).specs.run(
        "demo_spatial", Component(name="dmgal"), Component(name="otam"), 5
    )
    assert (run.train_shot, run.validation.shot, run.test.shot) == (1, 1, 5)


def keys(made: Study) -> dict[str, set]:
    """Everything that names a file, by kind."""
    used = sorted({run.features.dataset for run in made.experiments.runs.values()})
    return {
        "runs": set(made.experiments.runs),
        "index": {made.paths.index(name) for name in used},
        "frames": {made.paths.store(made.specs.frames(name)) for name in used},
        "weights": {made.paths.weights(made.specs.backbone_training(name)) for name in used},
        "features": {made.paths.store(made.features(name)) for name in used},
        "episodes": {
            made.paths.episodes(spec)
            for run in made.experiments.runs.values()
            for spec in (run.validation, run.test)
        },
    }


EVERYTHING = {"runs", "index", "frames", "weights", "features", "episodes"}


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({}, set()),
        # What decides no number is in no name.
        (
            {
                "resources__device": "cpu",
                "resources__train_threads": 7,
                "resources__memory_gib": 9.0,
            },
            set(),
        ),
        (
            {
                "frames__clips_per_job": 64,
                "backbone__clips_per_job": 64,
                "backbone__batch_clips": 3,
            },
            set(),
        ),
        ({"demo_videos__jobs": 5}, set()),
        ({"ROOTS__WEIGHTS": "weights"}, set()),
        ({"PAPER": "b"}, set()),
        # What does is in the name of what it decides, and of what follows from that.
        ({"training__lr": 0.01}, {"runs"}),
        ({"heads__identity": {}}, set()),
        ({"episodes__query": 3}, {"runs", "episodes"}),
        ({"backbone__cut": "layer3"}, {"runs", "features"}),
        ({"backbone__dtype": "float32"}, {"runs", "features"}),
        ({"backbone__training__lr": 0.1}, {"runs", "weights", "features"}),
        ({"backbone__crop": 56}, {"runs", "weights", "features"}),
        ({"backbones": {"demo_cnn": {"dim": 64}}}, {"runs", "weights", "features"}),
        ({"frames__views": 3}, {"runs", "frames", "weights", "features"}),
        ({"demo_videos__frames": 40}, EVERYTHING),
        ({"SEED": 1}, EVERYTHING),
    ],
)
def test_a_change_renames_what_it_decides_and_nothing_else(workflow, changes, different):
    before, after = keys(study(workflow)), keys(study(workflow, **changes))
    assert {kind for kind in before if before[kind] != after[kind]} == different
    assert all(before[kind].isdisjoint(after[kind]) for kind in different)


def test_the_preset_lies_under_a_rows_own_parameters(workflow):
    rows = [
        {
            "method": "A",
            "head": {"name": "dmgal", "params": {"r1": 2, "c_mga": None}},
            "matching": {"name": "otam"},
        },
        {
            "method": "B",
            "head": {"name": "identity"},
            "matching": {"name": "trx", "params": {"dropout": 0.0}},
        },
    ]
    write_table(workflow, "a_table1", rows=rows)
    made = study(
        workflow,
        heads={"dmgal": {"r1": 4, "r2": 4}},
        matching={"trx": {"out_dim": 128, "dropout": 0.5}},
    )
    runs = {cell.row.method: cell.run for cell in made.experiments.cells("a_table1")}
    assert runs["A"].head == Component(name="dmgal", params={"r1": 2, "r2": 4, "c_mga": None})
    assert runs["A"].matching == Component(name="otam")
    assert runs["B"].matching == Component(name="trx", params={"out_dim": 128, "dropout": 0.0})


def test_where_things_lie(workflow):
    made = study(workflow, ROOTS__STORES="/s", ROOTS__RESULTS="/r", ROOTS__WEIGHTS="/w")
    spec = made.features("demo_spatial")
    run = next(iter(made.experiments.runs.values()))
    assert made.paths.store(spec) == Path("/s/features", spec.key)
    assert made.paths.store(spec.frames) == Path("/s/frames", spec.frames.key)
    assert made.paths.index("demo_spatial") == Path(f"/s/index/demo_spatial.{spec.frames.card}.tsv")
    assert made.paths.episodes(run.test) == Path(f"/r/episodes/{run.test.key}.npz")
    assert made.paths.run(run) == Path("/r/runs", run.run_id)
    assert (
        made.specs.weights_option(made.features("demo_spatial"))
        == f"/w/trained/{made.specs.backbone_training('demo_spatial').key}.pt"
    )


def test_jobs_of_a_store(workflow):
    made = study(workflow, frames__clips_per_job=100, backbone__clips_per_job=928)
    assert len(made.dataset("demo_spatial")) == 24 * 24 + 8 * 12 + 16 * 16 == 928
    # 100 clips are two shard files of 64, 928 are fifteen.
    assert len(made.artifacts.of(made.specs.frames("demo_spatial")).receipts) == 8
    assert len(made.artifacts.of(made.features("demo_spatial")).receipts) == 1


# -- weights ---------------------------------------------------------------------------------------------------------------


def test_a_backbone_that_the_pipeline_trains(workflow):
    made = study(workflow)
    training = made.specs.backbone_training("demo_temporal")
    assert training.frames == made.specs.frames("demo_temporal")
    assert training.epochs == 12
    assert made.features("demo_temporal").backbone.weights == f"trained:{training.digest}"


def test_published_weights(workflow):
    made = study(workflow, PRESET="pretrained")
    assert made.specs.backbone_training("demo_temporal") is None
    assert made.features("demo_temporal").backbone.weights == "torchvision:IMAGENET1K_V1"
    assert made.specs.weights_option(made.features("demo_temporal")) == "IMAGENET1K_V1"


def test_a_local_file_is_known_by_its_content(workflow, tmp_path):
    (tmp_path / "mine.pt").write_bytes(b"weights")
    made = study(workflow, ROOTS__WEIGHTS=str(tmp_path), backbone__weights="mine.pt")
    assert (
        made.features("demo_temporal").backbone.weights
        == f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
    )
    assert made.specs.backbone_training("demo_temporal") is None
    assert made.specs.weights_option(made.features("demo_temporal")) == str(tmp_path / "mine.pt")
    key = made.features("demo_temporal").key
    (tmp_path / "mine.pt").rename(tmp_path / "renamed.pt")
    again = study(
        workflow, ROOTS__WEIGHTS="elsewhere", backbone__weights=str(tmp_path / "renamed.pt")
    )
    assert again.features("demo_temporal").key == key
    (tmp_path / "renamed.pt").write_bytes(b"other weights")
    again = study(workflow, backbone__weights=str(tmp_path / "renamed.pt"))
    assert again.features("demo_temporal").key != key


def test_a_file_beside_the_work_goes_before_one_in_the_root(workflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "mine.pt").write_bytes(b"of the root")
    made = study(workflow, ROOTS__WEIGHTS="root", backbone__weights="mine.pt")
    assert made.specs.weights_option(made.features("demo_temporal")) == "root/mine.pt"
    (tmp_path / "mine.pt").write_bytes(b"of the work")
    made = study(workflow, ROOTS__WEIGHTS="root", backbone__weights="mine.pt")
    assert made.specs.weights_option(made.features("demo_temporal")) == "mine.pt"
    assert (
        made.features("demo_temporal").backbone.weights
        == f"sha256:{hashlib.sha256(b'of the work').hexdigest()}"
    )


def test_missing_weights_name_the_root(workflow, tmp_path):
    said = refused(workflow, ROOTS__WEIGHTS=str(tmp_path), backbone__weights="mine.pt")
    assert (
        said
        == f"preset 'demo': backbone.weights: no file 'mine.pt', here or in roots.weights ({tmp_path})"
    )


def test_misspelt_published_weights(workflow):
    said = refused(workflow, backbone=PRETRAINED | {"weights": "IMAGENET1K_V3"})
    assert said.startswith(
        "preset 'demo': backbone.weights: no file 'IMAGENET1K_V3', here or in roots.weights (weights)"
    )
    assert "; did you mean 'IMAGENET1K_V" in said


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"backbone__training": None},
            "preset 'demo': backbone 'demo_cnn' needs `training:` or `weights:`",
        ),
        (
            {"backbone": PRETRAINED | {"weights": None}},
            "preset 'demo': backbone 'resnet50' needs `weights:` (a name or a file)",
        ),
        (
            {"DATASETS__UCF101": "demo_spatal"},
            "config.yaml: datasets.ucf101: no card named 'demo_spatal'; did you mean",
        ),
        (
            {"backbone__name": "resnet5"},
            "preset 'demo': backbone: unknown name 'resnet5' in backbones; did you mean 'resnet50'?",
        ),
        (
            {"backbones": {"demo_cnn": {"width": 3}}},
            "preset 'demo': backbones.demo_cnn: backbones 'demo_cnn' has no parameter 'width'; ",
        ),
        (
            {"backbone__cut": "layer5"},
            "preset 'demo': backbone: 'demo_cnn' has no cut 'layer5'; did you mean 'layer",
        ),
        (
            {"setups": {"deep": {"backbone": DEMO["backbone"] | {"cut": "layer5"}}}},
            "preset 'demo': setups.deep.backbone: 'demo_cnn' has no cut 'layer5'; did you mean 'layer",
        ),
        (
            {"setups": {"deep": {"backbone": DEMO["backbone"], "training": {"lrr": 1}}}},
            "config.yaml: setups.deep.training has the unknown key 'lrr'; did you mean 'lr'?",
        ),
        (
            {"augmentation": AUGMENTATION},
            "preset 'demo': backbone: augmentation at the cut 'layer4' is stored in views of the training clips; expected "
            "frames.views of at least 3 (1 test view + 2), found 1",
        ),
        (
            {"augmentation": {**AUGMENTATION, "query": AUGMENTATION["support"]}},
            "preset 'demo': backbone: augmentation at the cut 'layer4' is stored in views of the training clips; expected "
            "frames.views of at least 2 (1 test view + 1), found 1",
        ),
        (
            {"augmentation": {"support": AUGMENTATION["support"]}},
            "config.yaml: missing key 'presets.demo.augmentation.query'",
        ),
        (
            {"heads": {"dmgl": {}}},
            "preset 'demo': heads.dmgl: unknown name 'dmgl' in heads; did you mean 'dmgal'?",
        ),
        (
            {"matching": {"otam": {"lamda": 1}}},
            "preset 'demo': matching.otam: matching 'otam' has no parameter 'lamda'; did you mean 'lambda_'?",
        ),
        (
            {"matching": {"otam": {"lambda_": "1e-3"}}},
            "preset 'demo': matching.otam: matching 'otam': lambda_ is the text",
        ),
    ],
)
def test_mistakes_in_the_configuration(workflow, changes, line):
    assert refused(workflow, **changes).startswith(line)


def test_a_crop_above_the_frames_is_refused_where_it_is_used(workflow):
    """A setup that nothing asked for uses stops nothing."""
    deep = {"deep": {"backbone": DEMO["backbone"] | {"crop": 80}}}
    made = study(workflow, setups=deep)
    run = made.experiments.cells("a_table1")[0].run
    made.checks.check_run(run)
    wide = made.specs.run("demo_temporal", run.head, run.matching, 1, setup="deep")
    with pytest.raises(
        FsarError,
        match=r"^preset 'demo': setups\.deep\.backbone\.crop 80 is larger than frames\.size 72$",
    ):
        made.checks.check_run(wide)
    made = study(workflow, backbone__crop=96)
    with pytest.raises(
        FsarError, match=r"^preset 'demo': backbone\.crop 96 is larger than frames\.size 72$"
    ):
        made.checks.check_features(made.experiments.cells("a_table1")[0].run.features)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"datasets": ["ssv2"]},
            "config.yaml: datasets names nothing behind 'ssv2'; did you mean 'ssv2_",
        ),
        (
            {"rows": [{"method": "M", "head": {"name": "dmgall"}, "matching": {"name": "otam"}}]},
            "a_table1.yaml: row 'M': unknown name 'dmgall' in heads; did you mean 'dmgal'?",
        ),
        (
            {
                "rows": [
                    {
                        "method": "M",
                        "head": {"name": "dmgal"},
                        "matching": {"name": "trx", "params": {"dims": 3}},
                    }
                ]
            },
            "a_table1.yaml: row 'M': matching 'trx' has no parameter 'dims'; did you mean 'dim'?",
        ),
        (
            {"rows": [{"method": "M", "head": {"name": "aim"}, "matching": {"name": "otam"}}]},
            "a_table1.yaml: row 'M': the head 'aim' works in the blocks of a transformer behind the cut, and 'demo_cnn' has "
            "none behind 'layer4'; name a setup of a transformer",
        ),
        (
            {"rows": [{"method": "M", **OTAM, "setup": "vit"}]},
            "a_table1.yaml: row 'M': preset 'demo' has no setup 'vit'",
        ),
    ],
)
def test_mistakes_in_a_table(workflow, changes, line):
    write_table(workflow, "a_table1", **changes)
    assert refused(workflow).startswith(line)


def test_unknown_names(workflow):
    made = study(workflow)
    with pytest.raises(FsarError, match=r"no table 'a_table3' in .*tables; did you mean 'a_table"):
        made.experiments.cells("a_table3")
    with pytest.raises(
        FsarError,
        match=r"config\.yaml: datasets names nothing behind 'ucf'; did you mean 'ucf101'\?",
    ):
        made.behind("ucf")
    with pytest.raises(
        FsarError, match=r"no card for data set 'demo_spatal' in .*; did you mean 'demo_spatial'\?"
    ):
        made.dataset("demo_spatal")


def test_a_broken_card_is_told(tmp_path):
    (tmp_path / "tables").mkdir()
    write_table(tmp_path, "a_table1")
    for name in ("demo_spatial", "demo_temporal"):
        text = (ROOT / "workflow" / "datasets" / name / "card.yaml").read_text(encoding="utf-8")
        (tmp_path / "datasets" / name).mkdir(parents=True)
        (tmp_path / "datasets" / name / "card.yaml").write_text(
            text.replace("flip:", "flp:"), encoding="utf-8"
        )
    assert "card.yaml: unknown key 'flp'; did you mean 'flip'?" in refused(tmp_path)


@pytest.mark.parametrize("preset", ["demo", "paper", "paper_finetuned"])
def test_the_shipped_study_is_valid_and_torch_free(preset, tmp_path):
    code = (
        "import sys; from pathlib import Path; from fsar_core.config import load_config, read_yaml;"
        "from fsar_core.study import Study; root = Path(sys.argv[1]);"
        "raw = read_yaml(root / 'config.yaml') | {'preset': sys.argv[2]};"
        "study = Study(load_config(raw), root / 'workflow');"
        "print(len(study.experiments.runs) >= 30, 'torch' in sys.modules, 'zarr' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), preset],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "True False False\n", done.stderr
