"""What can be seen of the workflow without running a job."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.folders import FRONT, REPOSITORY, Folder, study

pytestmark = pytest.mark.workflow


def front(*words: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(FRONT), *words], capture_output=True, text=True, cwd=cwd, timeout=300
    )


def test_lint_is_clean():
    done = front("--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_formatted():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "snakefmt"), "--check", "Snakefile", "workflow"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr


def test_the_users_line_as_typed(tmp_path):
    """`--resources gpu=4 TARGET`, which Snakemake's own parser refuses."""
    line = ["--cores", "32", "--resources", "gpu=4", "results/tables/table2.csv"]
    done = front("--directory", str(tmp_path), "-n", *line)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {
        words[0]: words[1]
        for words in map(str.split, (done.stdout + done.stderr).splitlines())
        if len(words) == 2 and words[1].isdigit()
    }
    assert counts["train_head"] == counts["evaluate_head"] == "24"
    assert counts["table"] == counts["primary_table"] == "1"


def test_a_project_folder_with_braces_is_refused_in_one_line(tmp_path):
    """In the path of a rule's file they would be wildcards. In the working directory they mean nothing."""
    copy = tmp_path / "a{x}b"
    for name in ("workflow", "profiles"):
        shutil.copytree(REPOSITORY / name, copy / name)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(REPOSITORY / name, copy)
    done = front("-n", "--", "index", cwd=copy)
    assert done.returncode == 2
    line = f"fsar: error: {copy}: the path of the project holds braces, which Snakemake takes for wildcards; move the project"
    assert done.stderr.splitlines()[-1].startswith(line)
    (tmp_path / "c{y}d").mkdir()
    done = front("-n", "--directory", str(tmp_path / "c{y}d"), "--", "index")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", [[str(FRONT)], [sys.executable, "-m", "snakemake"]], ids=["front", "native"]
)
def test_a_key_that_stands_twice_in_a_configuration_is_refused(tmp_path, command):
    (tmp_path / "mine.yaml").write_text(
        "presets:\n  demo:\n    training: {lr: 0.1}\n    training: {lr: 0.2}\n"
    )
    words = [
        "-n",
        "--directory",
        str(tmp_path),
        "--configfile",
        str(tmp_path / "mine.yaml"),
        "--",
        "index",
    ]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, cwd=REPOSITORY, timeout=300
    )
    assert done.returncode != 0
    line = f"{tmp_path}/mine.yaml: not readable as YAML: line 4: the key 'training' is in line 3 already; remove one of them"
    assert f"fsar: error: {line}\n" in done.stderr


def test_snakemake_itself_refuses_the_users_line(tmp_path):
    """The reason for the front: once this test fails, it can go."""
    line = [
        "--cores",
        "32",
        "--resources",
        "gpu=4",
        "results/tables/table2.csv",
        "-n",
        "--directory",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *line, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode != 0
    assert "table2.csv" not in done.stdout


@pytest.mark.parametrize("stage", ["index", "frames", "features", "episodes", "heads", "tables"])
def test_stages_can_be_asked_for_by_name(tmp_path, stage):
    jobs = Folder(tmp_path).planned("--", stage)
    last = {
        "index": "clip_index",
        "frames": "seal_frames",
        "features": "seal_features",
        "episodes": "draw_episodes",
        "heads": "evaluate_head",
        "tables": "table",
    }
    assert jobs[last[stage]]
    assert ("train_head" in jobs) == (stage in ("heads", "tables"))


def test_dmgal_is_every_table_and_figure_of_the_paper(tmp_path):
    """Tables I to VIII, figures 4 to 9; equal runs of several tables are one, and no run is made that no printed row needs."""
    jobs = Folder(tmp_path).planned("--", "dmgal")
    assert sorted(jobs["table"]) == [f"table=dmgal_table{number}" for number in range(1, 9)]
    assert sorted(jobs["complexity"]) == ["table=dmgal_table7", "table=dmgal_table8"]
    planned = study()
    runs = {
        cell.run.run_id: cell.run
        for number in range(1, 9)
        for cell in planned.experiments.cells(f"dmgal_table{number}")
    }
    assert len(runs) == 80 and sorted(jobs["figure"]) == [
        f"figure=dmgal_fig{number}" for number in range(4, 10)
    ]
    runs |= {
        point.run.run_id: point.run
        for number in (6, 7)
        for point in planned.experiments.points(f"dmgal_fig{number}")
    }
    looks = {
        (number, look.run.run_id)
        for number in (4, 5, 8, 9)
        for look in planned.experiments.looks(f"dmgal_fig{number}")
    }
    assert sorted(jobs["inspect_run"]) == [
        f"figure=dmgal_fig{number}, run={run}" for number, run in sorted(looks)
    ]
    # Nothing is trained for these figures alone.
    assert {run for _, run in looks} <= runs.keys()
    assert sorted(jobs["evaluate_head"]) == sorted(f"run={run}" for run in runs)
    assert sorted(jobs["train_head"]) == sorted(
        {f"model={run.model.model_id}" for run in runs.values()}
    )


def test_i2st_is_every_table_and_figure_of_the_paper(tmp_path):
    """Tables 1 to 9; other ways and shorter clips are tests of models that are trained once."""
    jobs = Folder(tmp_path).planned("--", "i2st")
    assert sorted(jobs["table"]) == [f"table=i2st_table{number}" for number in range(1, 10)]
    assert jobs["complexity"] == ["table=i2st_table8"]
    planned = study()
    figures = [name for name in planned.figure_names if name.startswith("i2st_")]
    assert sorted(jobs.get("figure", [])) == [f"figure={name}" for name in figures]
    runs = {
        cell.run.run_id: cell.run
        for number in range(1, 10)
        for cell in planned.experiments.cells(f"i2st_table{number}")
    }
    assert len(runs) == 92
    runs |= {
        point.run.run_id: point.run
        for name in figures
        for point in planned.experiments.points(name)
    }
    assert sorted(jobs["evaluate_head"]) == sorted(f"run={run}" for run in runs)
    models = {run.model.model_id for run in runs.values()}
    models |= {
        look.run.model.model_id for name in figures for look in planned.experiments.looks(name)
    }
    assert sorted(jobs["train_head"]) == sorted(f"model={model}" for model in models)


def test_sgtm_is_every_table_and_figure_of_the_paper(tmp_path):
    """Tables 1 to 6, figures 2 to 4 and actionness; frames are scored once for all runs of a data set."""
    jobs = Folder(tmp_path).planned("--", "sgtm")
    assert sorted(jobs["table"]) == [f"table=sgtm_table{number}" for number in range(1, 7)]
    planned, figures = study(), ["sgtm_actionness", *(f"sgtm_fig{number}" for number in (2, 3, 4))]
    assert sorted(jobs["figure"]) == [f"figure={name}" for name in figures]
    runs = {
        cell.run.run_id: cell.run
        for number in range(1, 7)
        for cell in planned.experiments.cells(f"sgtm_table{number}")
    }
    runs |= {
        point.run.run_id: point.run
        for name in figures
        for point in planned.experiments.points(name)
    }
    assert sorted(jobs["evaluate_head"]) == sorted(f"run={run}" for run in runs)
    assert sorted(jobs["train_head"]) == sorted(
        {f"model={run.model.model_id}" for run in runs.values()}
    )
    datasets = ("demo_partial", "demo_spatial", "demo_temporal")
    stores = [planned.specs.saliency(dataset) for dataset in datasets]
    for rule in ("plan_saliency", "seal_saliency"):
        assert sorted(jobs[rule]) == [f"store={spec.key}" for spec in stores]
    assert sorted(jobs["train_classifier"]) == [
        f"classifier={spec.classifier.key}" for spec in stores
    ]
    watched = [
        (name, watch.saliency.key)
        for name in figures
        for watch in planned.experiments.watches(name)
    ]
    assert sorted(jobs["inspect_saliency"]) == sorted(
        f"figure={name}, store={store}" for name, store in set(watched)
    )
    assert "complexity" not in jobs and "plan_masks" not in jobs


def test_a_figure_looks_into_no_other_run(tmp_path):
    run = next(iter(study().experiments.cells("dmgal_table4"))).run.run_id
    done = Folder(tmp_path).snakemake("-n", "--", f"results/inspections/dmgal_fig5/{run}.npz")
    told = [line for line in done.stderr.splitlines() if line.startswith("fsar: error:")]
    assert done.returncode == 2 and f"the figure 'dmgal_fig5' looks into no run '{run}'" in told[-1]


@pytest.mark.parametrize(("number", "made"), [(1, "clip_index"), (7, "complexity")])
def test_a_table_without_runs_needs_only_what_it_counts(tmp_path, number, made):
    jobs = Folder(tmp_path).planned("--", f"results/tables/table{number}.csv")
    assert set(jobs) - {"demo_videos"} == {made, "table", "primary_table"}


def test_the_profile_of_slurm_plans_what_the_default_one_does(tmp_path):
    """With what sbatch is given of a job; `-n` submits nothing, so that no Slurm is needed."""
    profile = ["--workflow-profile", str(REPOSITORY / "profiles" / "slurm")]
    done = front("--directory", str(tmp_path), "-n", *profile, "--", "results/tables/table2.csv")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    (asked,) = {
        line.strip()
        for block in text.split("\nrule ")
        if block.startswith("train_head:")
        for line in block.splitlines()
        if line.startswith("    resources:")
    }
    wanted = {"mem_mb=2000", "runtime=720", "gpu=1", "gpu_manufacturer=nvidia"}
    assert wanted <= set(asked.removeprefix("resources: ").split(", "))
    assert re.search(r"^train_head +24$", text, re.MULTILINE)


def test_gpu_rules_ask_for_one_and_are_leased():
    text = "".join(path.read_text() for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"))
    for body in text.split("\nrule ")[1:]:
        name = body.split(":")[0]
        assert ("gpu=GPUS" in body) == ("fsar_core lease -n {resources.gpu}" in body), name


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "presets: {demo: {training: {epsiodes: 3}}}",
            "unknown key 'presets.demo.training.epsiodes'; did you mean 'episodes'?",
        ),
        (
            "presets: {demo: {heads: {dmgl: {r1: 2}}}}",
            "unknown name 'dmgl' in heads; did you mean 'dmgal'?",
        ),
        (
            "presets: {demo: {heads: {dmgal: {varient: paper}}}}",
            "has no parameter 'varient'; did you mean 'variant'?",
        ),
        (
            "presets: {demo: {heads: {dmgal: {variant: papr}}}}",
            "variant='papr' is not valid; valid: 'paper', 'released'",
        ),
        ("presets: {demo: {training: {batch: 2000}}}", "do not fill one step of batch 2000"),
        ("presets: {demo: {episodes: {way: 50}}}", "classes, 50-way episodes need 50; lower `way`"),
        (
            "presets: {demo: {backbone: {train_tail: true}}}",
            "nothing is left to train behind the last cut",
        ),
        (
            "presets: {demo: {backbone: {cut: layer5}}}",
            "has no cut 'layer5'; did you mean 'layer4'?",
        ),
        (
            "datasets: {ssv2_small: demo_temporl}",
            "no card named 'demo_temporl'; did you mean 'demo_temporal'?",
        ),
        ("preset: demmo", "preset 'demmo' is not among presets; did you mean 'demo'?"),
    ],
)
def test_a_mistake_in_the_config_is_one_line_and_status_2(tmp_path, change, expected):
    config = tmp_path / "wrong.yaml"
    config.write_text(change)
    done = Folder(tmp_path).snakemake("-n", "--", "results/tables/table2.csv", config=config)
    assert done.returncode == 2, done.stdout + done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("fsar: error:")]
    assert told and expected in told[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists() and not (tmp_path / "stores").exists()


@pytest.mark.parametrize(
    "text", ["seed: !!python/object/apply:os.system ['touch PWNED']", "a: !x b"]
)
def test_tags_in_a_configuration_run_nothing(tmp_path, text):
    config = tmp_path / "evil.yaml"
    config.write_text(text)
    done = Folder(tmp_path).snakemake("-n", "--", "results/tables/table2.csv", config=config)
    assert done.returncode != 0 and not (tmp_path / "PWNED").exists()
    assert "not valid JSON or YAML" in done.stderr + done.stdout
