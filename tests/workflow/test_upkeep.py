"""Verify, repair and clean over a real run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.workflow.folders import (
    FRONT,
    METHODS,
    REPOSITORY,
    SMOKE,
    Folder,
    run_ids,
    runs_of,
    study,
    summaries,
)

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture
def copy(smoke, tmp_path) -> Folder:
    """The finished folder, time stamps and Snakemake's memory included."""
    shutil.copytree(smoke.path, tmp_path / "copy", symlinks=True)
    return Folder(tmp_path / "copy")


def fsar(folder: Folder, *words: str, code: int = 0) -> str:
    env = {key: value for key, value in os.environ.items() if key != "FSAR_ERRORS"}
    done = subprocess.run(
        [str(FRONT.with_name("fsar")), *words],
        cwd=folder.path,
        capture_output=True,
        text=True,
        env=env,
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


CONFIG = ("--config", str(REPOSITORY / "config.yaml"), "--configfile", str(SMOKE))
OPTIONS = ("--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", str(SMOKE), "--cores", "2")


def flip(path: Path, at: int) -> None:
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 8
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # decay touches no time stamp


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of stores and results: when it was changed, and its bytes."""
    paths = (
        path
        for root in ("stores", "results")
        for path in (folder / root).rglob("*")
        if path.is_file()
    )
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in paths
    }


def test_a_whole_run_is_sound(smoke):
    assert "none damaged" in fsar(smoke, "verify", *CONFIG)


def test_one_shard_is_made_again_and_nothing_else(copy):
    """The store is then byte for byte what it was, and nothing that was made of it looks outdated."""
    whole = study()
    store = whole.paths.store(whole.specs.frames("demo_temporal"))
    shards = sorted((copy.path / store / "data.zarr/frames/c").rglob("0/0/0/0/0"))
    before = snapshot(copy.path)
    bad = shards[3]  # of the second job
    assert "0/0/0/0/0" in str(bad) and len(shards) > 4
    flip(bad, 700)
    told = fsar(copy, "verify", *CONFIG, code=2)
    assert told.endswith(
        f"1 of {told.count(': sound') + 1} checked are damaged; mend with `fsar repair {store}`\n"
    )
    said = fsar(copy, "repair", str(store), "--", *OPTIONS)
    assert f"{store}: mended\n" in said
    after = snapshot(copy.path)
    job = int(bad.relative_to(copy.path / store / "data.zarr/frames/c").parts[0]) * 64 // 128
    own = {f"{store}/data.zarr/frames/c/{number}/0/0/0/0/0" for number in (2 * job, 2 * job + 1)}
    receipt = f"{store}/receipts/{job}.json"
    logs = {
        path
        for path in after
        if "/logs/" in path or "/benchmarks/" in path or path.endswith(".lock")
    }
    made = {path for path in after if after[path][0] != before.get(path, (0, b""))[0]} - logs
    assert made == own
    different = {path for path in after if after[path][1] != before[path][1]} - logs
    assert different <= {receipt}  # which tells the seconds that the job took
    assert "Nothing to be done" in copy.ok("--", *summaries(*METHODS))


@pytest.mark.parametrize("after", [0.0, 4.0])
def test_a_killed_repair_is_finished_by_the_same_command(copy, after):
    """Snakemake is killed with it, before it has made anything or in the midst of it."""
    whole = study()
    store = whole.paths.store(whole.specs.frames("demo_temporal"))
    bad = sorted((copy.path / store / "data.zarr/frames/c").rglob("0/0/0/0/0"))[3]
    whole_shard = bad.read_bytes()
    flip(bad, 700)
    command = [str(FRONT.with_name("fsar")), "repair", str(store), "--", *OPTIONS]
    killed = subprocess.Popen(
        command, cwd=copy.path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert any("removed manifest.json" in line for line in iter(killed.stdout.readline, ""))
    time.sleep(after)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert f"{store}: mended\n" in fsar(copy, "repair", str(store), "--", *OPTIONS)
    assert bad.read_bytes() == whole_shard and not list((copy.path / store).glob(".*"))
    assert "none damaged" in fsar(copy, "verify", *CONFIG)
    assert "Nothing to be done" in copy.ok("--", *summaries(*METHODS))


def test_an_index_is_made_again_and_no_store(copy):
    whole = study()
    index = whole.paths.index("demo_temporal")
    before = (copy.path / index).read_bytes()
    flip(copy.path / index, 500)
    done = copy.snakemake(
        "-R",
        "draw_episodes",
        "--",
        str(whole.paths.episodes(next(iter(whole.experiments.runs.values())).test)),
    )
    if done.returncode == 0:  # episodes of the other data set
        pytest.fail("the damaged index was not noticed")
    assert f"mend it with `fsar repair {index}`" in done.stderr
    fsar(copy, "repair", str(index), "--", *OPTIONS)
    assert (copy.path / index).read_bytes() == before
    jobs = copy.planned("--", *summaries(*METHODS))
    assert set(jobs) <= {
        "draw_episodes",
        "train_head",
        "evaluate_head",
    }  # the episodes that the failed job took away


def test_a_result_is_made_again_alone(copy):
    run = run_ids("Bi-MHM")[0]
    queries = copy.path / "results" / "runs" / run / "queries.csv.gz"
    before = snapshot(copy.path / "results" / "runs" / "..")
    flip(queries, 60)
    fsar(copy, "repair", f"results/runs/{run}", "--", *OPTIONS)
    assert snapshot(copy.path / "results" / "runs" / "..") == before
    assert "Nothing to be done" in copy.ok("--", *summaries(*METHODS))


def test_nothing_of_a_run_is_unused_under_its_own_configuration(copy, tmp_path):
    words = ("clean", *CONFIG, "--workflow", str(REPOSITORY / "workflow"), "--min-age", "0")
    fsar(
        copy, *words, "--yes"
    )  # what other tests left in this folder under configurations of their own
    assert "0 unused, 0.00 MiB in 0 files" in fsar(copy, *words)
    assert "Nothing to be done" in copy.ok("--", *summaries(*METHODS))
    other = tmp_path / "other.yaml"
    other.write_text("presets: {demo: {training: {lr: 0.01}}}")
    before = snapshot(copy.path)
    said = fsar(copy, *words[:4], str(SMOKE), str(other), *words[5:], "--yes")
    gone = {path.split("/")[1] for path in before.keys() - snapshot(copy.path).keys()}
    assert gone == {"models", "runs"} and "6 unused" in said  # stores serve every learning rate
    features = study().paths.store(runs_of("Bi-MHM")[0].features)
    assert "Nothing to be done" in copy.ok("--", f"{features}/manifest.json")
