"""The workflow at toy size: what is made, what is made again, and what is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import zarr

from fsar_core.config import load_config
from fsar_core.storage.provenance import file_sha256
from fsar_core.study import Study
from tests.workflow.folders import (
    FRONT,
    METHODS,
    REPOSITORY,
    SMOKE,
    Folder,
    overlay,
    run_ids,
    runs_of,
    smoke_config,
    study,
    summaries,
)

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package that a test may edit."""
    shutil.copytree(
        REPOSITORY / "fsar_core",
        tmp_path / "fsar_core",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return tmp_path


def edit(package: Path, module: str, old: str, new: str) -> None:
    path = package / "fsar_core" / module
    text = path.read_text()
    assert old in text, f"{module} no longer holds {old!r}"
    path.write_text(text.replace(old, new, 1))


def test_every_stage_leaves_what_it_should(smoke):
    run = smoke.path / "results" / "runs" / run_ids("DMGAL-FT (OTAM)")[0]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["dataset"] == "demo_temporal" and summary["backbone"] == "demo_cnn"
    assert summary["episodes"] == 40 and summary["queries"] == 200 and summary["chance"] == 20.0
    queries = pd.read_csv(run / "queries.csv.gz")
    assert len(queries) == 200
    assert summary["accuracy"] == pytest.approx(100 * queries.correct.mean())
    model = smoke.path / "results" / "models" / runs_of("DMGAL-FT (OTAM)")[0].model.model_id
    history = pd.read_csv(model / "history.csv")
    assert list(history.step) == [8, 16] and list(history.episodes) == [8, 16]
    assert sorted(path.name for path in model.iterdir()) == [
        "checkpoint.pt",
        "history.csv",
        "train.lock",
    ]
    manifest = json.loads(
        next((smoke.path / "stores" / "features").glob("*/manifest.json")).read_text()
    )
    assert manifest["clips"] == 24 * 8 + 24 * 7 and manifest["failures"] == []


def test_all_methods_share_the_same_test_episodes(smoke):
    keys = ["episode", "clip", "class"]
    first, *others = (
        pd.read_csv(smoke.path / "results" / "runs" / run / "queries.csv.gz")[keys]
        for run in run_ids(*METHODS)
    )
    assert all(first.equals(other) for other in others)


def test_the_second_run_has_nothing_to_do(smoke):
    assert "Nothing to be done" in smoke.ok("--", *summaries(*METHODS))


def test_a_docstring_edit_triggers_nothing(smoke, package):
    for module in (
        "metrics/otam.py",
        "training/loop.py",
        "heads/dmgal.py",
        "cli/jobs/train.py",
        "store_kinds/frames.py",
    ):
        edit(package, module, '"""', '"""Reworded. ')
    assert smoke.planned("--", *summaries(*METHODS), package=package) == {}


def test_editing_otam_reruns_only_the_runs_that_use_it(smoke, package):
    with open(package / "fsar_core" / "metrics" / "otam.py", "a") as stream:
        stream.write("\n\nADDED = 1\n")
    jobs = smoke.planned("--", *summaries(*METHODS), package=package)
    assert set(jobs) == {"train_head", "evaluate_head"}
    expected = runs_of("OTAM", "DMGAL-FT (OTAM)")
    assert set(jobs["train_head"]) == {f"model={run.model.model_id}" for run in expected}
    assert set(jobs["evaluate_head"]) == {f"run={run.run_id}" for run in expected}


def test_another_learning_rate_reruns_training_and_never_a_store(smoke, tmp_path):
    config = tmp_path / "rate.yaml"
    config.write_text(json.dumps(smoke_config(lr=0.123)))
    jobs = smoke.planned("--", *summaries(*METHODS, lr=0.123), config=config)
    assert set(jobs) == {"train_head", "evaluate_head"}
    assert len(jobs["train_head"]) == 3


def test_another_frame_size_is_another_store(smoke, tmp_path):
    """The old store stays; the new one is planned beside it."""
    config = tmp_path / "size.yaml"
    settings = overlay(smoke_config(), {"presets": {"demo": {"frames": {"size": 44}}}})
    config.write_text(json.dumps(settings))
    whole = Study(load_config(settings), REPOSITORY / "workflow")
    manifest = whole.paths.store(whole.specs.frames("demo_temporal")) / "manifest.json"
    jobs = smoke.planned("--", str(manifest), config=config)
    assert set(jobs) == {"plan_frames", "fill_frames", "seal_frames"}


def test_a_rules_shell_line_can_be_pasted_and_run_alone(smoke):
    run = run_ids("Bi-MHM")[0]
    text = smoke.ok("-n", "-p", "-R", "evaluate_head", "--", f"results/runs/{run}/summary.json")
    line = next(line for line in text.splitlines() if "fsar_core evaluate --spec" in line)
    line = line.removeprefix("Shell command: ").strip()
    folder = smoke.path / "results" / "runs" / run
    before = {name: (folder / name).read_bytes() for name in ("queries.csv.gz", "summary.json")}
    env = {
        **os.environ,
        "PATH": f"{FRONT.parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run(["bash", "-c", line], cwd=smoke.path, env=env, check=True, timeout=300)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_truncated_store_is_refused_with_status_2(smoke, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(smoke.path, copy, ignore=shutil.ignore_patterns(".snakemake"))
    shard = next((copy / "stores" / "features").glob("*/data.zarr/features/c/*/0/*"))
    shard = shard if shard.is_file() else next(path for path in shard.rglob("*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-100])
    run = run_ids("Bi-MHM")[0]
    done = Folder(copy).snakemake(
        "--rerun-triggers", "mtime", "-R", "evaluate_head", "--", f"results/runs/{run}/summary.json"
    )
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("fsar: error:")][-1]
    assert shard.name in told and "expected" in told
    assert not (copy / "results" / "runs" / run / "summary.json").exists()
    _follow_the_remedy(copy, told, f"results/runs/{run}/summary.json")
    accuracy = [
        json.loads((root / "results" / "runs" / run / "summary.json").read_text())["accuracy"]
        for root in (copy, smoke.path)
    ]
    assert accuracy[0] == accuracy[1]


def _follow_the_remedy(folder: Path, told: str, target: str) -> None:
    """Run the command that the message names, word for word, and then the same command again."""
    remedy = re.search(r"mend it with `fsar (repair [^`]+)`", told)[1].split()
    options = [
        "--snakefile",
        str(REPOSITORY / "Snakefile"),
        "--configfile",
        str(SMOKE),
        "--rerun-triggers",
        "mtime",
    ]
    subprocess.run(
        [str(FRONT.parent / "fsar"), *remedy, "--", *options, "--cores", "2"],
        cwd=folder,
        check=True,
    )
    Folder(folder).ok("--rerun-triggers", "mtime", "--", target)
    assert (
        subprocess.run([str(FRONT.parent / "fsar"), "verify", remedy[1]], cwd=folder).returncode
        == 0
    )


def test_an_unknown_run_is_one_line_and_status_2(smoke):
    done = smoke.snakemake("-n", "--", "results/runs/demo_temporal.nonsense/summary.json")
    told = [line for line in done.stderr.splitlines() if line.startswith("fsar: error:")]
    assert (
        done.returncode == 2
        and told
        and "no run 'demo_temporal.nonsense' under this configuration" in told[-1]
    )
    assert "Traceback" not in done.stderr


def test_a_killed_shard_job_is_resumed_alone(tmp_path):
    """SIGKILL of one filling job: the rest stays, a second command makes only what is missing."""
    folder = Folder(tmp_path)
    folder.ok("--", *(str(path) for path in _frame_plan()))
    command = [
        str(FRONT),
        "--snakefile",
        str(REPOSITORY / "Snakefile"),
        "--directory",
        str(tmp_path),
        "--cores",
        "1",
    ]
    running = subprocess.Popen(
        [*command, "--configfile", str(SMOKE), "--", "frames"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    receipts = tmp_path / _frame_plan()[0].parent / "receipts"
    deadline = time.time() + 240
    victim = None
    while victim is None and time.time() < deadline and running.poll() is None:
        finished = {path.stem for path in receipts.glob("[0-9]*.json")}
        victim = _filling_job(tmp_path, finished) if finished else None
        time.sleep(0.02)
    assert victim is not None, "no second filling job was seen"
    os.kill(victim, signal.SIGKILL)
    assert running.wait(timeout=240) != 0
    done = {path.name: path.stat().st_mtime_ns for path in receipts.glob("[0-9]*.json")}
    assert (
        1 <= len(done) < len(study().artifacts.of(study().specs.frames("demo_temporal")).receipts)
    )
    folder.ok("--", "frames")
    after = {path.name: path.stat().st_mtime_ns for path in receipts.glob("[0-9]*.json")}
    assert len(after) == 3
    assert {name: after[name] for name in done} == done
    assert "Nothing to be done" in folder.ok("--", "frames")


def test_resnet50_from_a_local_file(smoke, tmp_path):
    """The other backbone through the same rules: random ImageNet-shaped weights, an early cut with the tail run live."""
    import torch
    from torchvision.models import resnet50

    torch.manual_seed(0)
    weights = tmp_path / "resnet50.pth"
    torch.save(resnet50(weights=None).state_dict(), weights)
    backbone = {"name": "resnet50", "weights": str(weights), "cut": "layer3"}
    config = tmp_path / "resnet50.yaml"
    change = {"presets": {"demo": {"backbone": backbone}}}
    config.write_text(json.dumps(overlay(smoke_config(), change)))
    whole = Study(load_config(overlay(smoke_config(), change)), REPOSITORY / "workflow")
    run = next(
        cell.run
        for cell in whole.experiments.cells("dmgal_table2")
        if cell.row.method == "OTAM" and cell.column.shot == 1
    )
    smoke.ok("--", f"results/runs/{run.run_id}/summary.json", config=config)
    manifest = json.loads(
        (smoke.path / "stores" / "features" / run.features.key / "manifest.json").read_text()
    )
    assert manifest["spec"]["backbone"]["weights"] == f"sha256:{file_sha256(weights)}"
    array = zarr.open_array(
        smoke.path / "stores" / "features" / run.features.key / "data.zarr" / "features", mode="r"
    )
    assert array.shape == (24 * 8 + 24 * 7, 1, 8, 1024, 2, 2)
    summary = json.loads(
        (smoke.path / "results" / "runs" / run.run_id / "summary.json").read_text()
    )
    assert summary["backbone"] == "resnet50" and summary["parameters"] == 0


def _frame_plan() -> list[Path]:
    whole = study()
    return [whole.paths.store(whole.specs.frames("demo_temporal")) / "plan.json"]


def _filling_job(folder: Path, finished: set[str]) -> int | None:
    """The process id of a running `fsar fill` whose receipt is not there yet, found in /proc."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            here = (process / "cwd").resolve() == folder.resolve()
            if (
                here
                and b"fill" in words
                and words[words.index(b"--job") + 1].decode() not in finished
            ):
                return int(process.name)
        except (OSError, ValueError):
            continue
    return None
