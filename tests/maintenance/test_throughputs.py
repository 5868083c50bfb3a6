"""Speeds: which number counts, and what done jobs tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import throughputs
from fsar_core.config import load, load_config, read_yaml, validate
from fsar_core.errors import FsarError
from fsar_core.maintenance.cost import by_rule
from fsar_core.maintenance.throughputs import Throughputs, measured, nearest
from fsar_core.study import Study
from tests.maintenance.toys import toy

ROOT = Path(__file__).resolve().parents[2]
PLAIN = dict(
    source="here",
    clips={"a": 2.0, "a.b": 4.0},
    start=1,
    gpu=10,
    gpu_source="there",
    ratios={"frames": 2.0},
)


@pytest.mark.parametrize(
    ("name", "value"), [("a", 2), ("a.c", 2), ("a.b", 4), ("a.b.c", 4), ("a.c.b", 2)]
)
def test_the_nearest_name_counts(name, value):
    assert nearest(PLAIN["clips"], name) == value


def test_nothing_is_said_of_it():
    with pytest.raises(FsarError, match=r"nothing is said of 'x.y', nor of 'x'; add one of both"):
        nearest(PLAIN["clips"], "x.y")


def test_seconds_and_bytes_of_a_work():
    speeds = Throughputs(**PLAIN)
    work = toy(Path("m"), "a.b", clips=100.0, volume=("frames", 3e6))
    assert speeds.seconds(work) == 25.0
    assert speeds.bytes(work) == 1.5e6
    # A thing of which nothing goes through the jobs needs no speed.
    assert speeds.seconds(toy(Path("t"), "table")) == 0
    assert speeds.bytes(toy(Path("t"), "table")) == 0


@pytest.mark.parametrize("change", [{"clips": {"a": 0.0}}, {"ratios": {"frames": -1.0}}])
def test_speeds_are_positive(change):
    with pytest.raises(FsarError, match="must be greater than 0"):
        validate(Throughputs, PLAIN | change, "mine.yaml")


def test_a_presets_own_speeds_go_before():
    """Of a rule that it names, also before a longer name of the others'; the source says so."""
    speeds = Throughputs(**PLAIN, presets={"small": {"source": "elsewhere", "clips": {"a": 30.0}}})
    work = toy(Path("m"), "a.b", clips=120.0)
    assert speeds.of_preset("other").seconds(work) == speeds.seconds(work) == 30.0
    assert speeds.of_preset("small").seconds(work) == 4.0
    assert speeds.of_preset("small").source == "elsewhere; of other stages those of every preset"
    only_c = Throughputs(**PLAIN, presets={"small": {"source": "elsewhere", "clips": {"c": 30.0}}})
    assert only_c.of_preset("small").seconds(work) == 30.0


def test_speeds_of_a_preset_are_positive():
    with pytest.raises(FsarError, match=r"mine.yaml: presets.small.clips.*must be greater than 0"):
        validate(
            Throughputs,
            PLAIN | {"presets": {"small": {"source": "s", "clips": {"a": 0.0}}}},
            "mine.yaml",
        )


def test_the_demo_is_told_in_minutes():
    """README: `make table2` takes about eight minutes on 2 cores; the papers' sizes would make days of it."""
    graph = Study(load_config(read_yaml(ROOT / "config.yaml")), ROOT / "workflow").artifacts
    speeds = load(Throughputs, ROOT / "workflow" / "throughputs.yaml")
    table = list(graph.behind([graph.get("table", "dmgal_table2")]))
    hours = {
        name: sum(c.core_hours for c in by_rule(table, speeds.of_preset(name), done=True).values())
        for name in ("demo", "paper")
    }
    assert 8 <= 60 * hours["demo"] <= 32 and hours["paper"] > 24


def test_the_shipped_ones_say_where_they_come_from():
    speeds = load(Throughputs, ROOT / "workflow" / "throughputs.yaml")
    assert "measured" in speeds.source
    assert "H100" in speeds.gpu_source


@pytest.mark.parametrize("name", throughputs.HEADS)
def test_the_script_measures_every_head_that_the_shipped_ones_name(name, monkeypatch):
    monkeypatch.setattr(
        throughputs, "EPISODE", throughputs.EPISODE | dict(dim=256, height=4, width=4, query=5)
    )
    found = throughputs.measured(name, 1)
    assert set(found) == {f"train_head.{name}", f"evaluate_head.{name}"} and min(found.values()) > 0
    shipped = load(Throughputs, ROOT / "workflow" / "throughputs.yaml").clips
    assert name == "dmgal" or set(found) <= set(shipped)  # dmgal's stand for all other heads


def tsv(folder: Path, rule: str, name: str, seconds: str) -> None:
    (folder / rule).mkdir(parents=True, exist_ok=True)
    (folder / rule / f"{name}.tsv").write_text(f"s\tcpu_time\n9.0\t{seconds}\n")


def test_done_jobs_tell_their_speed(tmp_path):
    store = Path("stores/frames/x.8x72.abc")
    parts = [
        ("plan_frames", store / "plan.json"),
        *(("fill_frames", store / "receipts" / f"{j}.json") for j in range(4)),
    ]
    works = [
        toy(store / "manifest.json", "fill_frames", parts, clips=800.0),
        toy(Path("results/runs/r1/summary.json"), "evaluate_head.h.m", clips=60.0),
        toy(Path("results/runs/r2/summary.json"), "evaluate_head.h.m", clips=30.0),
        toy(Path("stores/index/x.ab.tsv"), "clip_index", clips=5.0),
    ]
    # Of the store two jobs of four are done: 400 clips in 10 + 30 seconds.
    tsv(tmp_path, "fill_frames", "x.8x72.abc.0", "10.0")
    tsv(tmp_path, "fill_frames", "x.8x72.abc.3", "30.0")
    tsv(tmp_path, "plan_frames", "x.8x72.abc", "1000.0")
    tsv(tmp_path, "evaluate_head", "r1", "4.0")
    tsv(tmp_path, "evaluate_head", "r2", "5.0")
    tsv(tmp_path, "clip_index", "x.ab", "NA")
    # Another head is thought to be as fast as the tests of this one.
    assert measured(works, tmp_path) == {
        "fill_frames": 10.0,
        "evaluate_head.h.m": 10.0,
        "evaluate_head": 10.0,
    }


def test_demo_videos_are_named_by_data_set_and_digest(tmp_path):
    receipts = [Path(f"data/demo_x/0a1b/receipts/{job}.json") for job in range(2)]
    work = toy(receipts[-1], "demo_videos", [("demo_videos", r) for r in receipts], clips=90.0)
    tsv(tmp_path, "demo_videos", "demo_x.0a1b.1", "9.0")
    assert measured([work], tmp_path) == {"demo_videos": 5.0}
