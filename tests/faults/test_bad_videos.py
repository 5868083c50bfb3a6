"""A data set of which one clip in twenty is bad: the run ends, its table tells and lists them, and one more stops it clearly.

python -m pytest tests/faults/test_bad_videos.py
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from fsar_core.config import load_config
from fsar_core.data import splits
from fsar_core.data.index import read_index
from fsar_core.episodes import tables
from fsar_core.study import Study
from tests.builders import toy_card, toy_entries, write_code_video
from tests.hostile.test_files import PLAYLISTS, avi
from tests.workflow.folders import FRONT, REPOSITORY, overlay, smoke_config

pytestmark = [pytest.mark.faults, pytest.mark.workflow, pytest.mark.timeout(1800)]

NASTY = "$(touch PWNED); `touch PWNED` & touch PWNED | 'x' \"y\" {z} * ü 走る ! #%"
ROOTS = {
    "data": "data",
    "stores": "st ores; touch PWNED",
    "weights": "w $(touch PWNED)",
    "results": "results",
}
TABLE = {
    "title": "Own", "where": "nowhere", "backbone": "demo_cnn", "datasets": ["mine"], "shots": [1],
    "rows": [
        {"method": "OTAM", "head": {"name": "identity"}, "matching": {"name": "otam"}},
        {"method": "DMGAL", "head": {"name": "dmgal"}, "matching": {"name": "otam"}, "compare_to": "OTAM"},
    ],
}  # fmt: skip


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _outside(path: Path) -> None:
    """A link to a video that is not the data set's."""
    secret = path.parents[3] / "secret.mp4"
    write_code_video(secret, frames=12)
    path.unlink()
    path.symlink_to(secret)


def _moved(path: Path) -> None:
    path.unlink()
    avi(path.with_suffix(".avi"), width=16_000, height=16_000).rename(path)


# What is done to a sound clip -> the kind of problem, and words of the reason.
BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing": (lambda path: path.unlink(), "missing", "no such file"),
    "empty": (lambda path: path.write_bytes(b""), "unreadable", "empty file"),
    "text": (lambda path: path.write_text("no video\n" * 99), "unreadable", "Invalid data found"),
    "zeros": (lambda path: path.write_bytes(bytes(4000)), "unreadable", "Invalid data found"),
    "cut off": (_cut, "unreadable", "Invalid data found"),
    "too short": (
        lambda path: write_code_video(path, frames=3),
        "too short",
        "3 frames, expected 8",
    ),
    "a playlist": (lambda path: path.write_text(PLAYLISTS["hls"]), "unreadable", "pyav: "),
    "absurd": (_moved, "unreadable", "16000 x 16000 pixels"),
    "a link to elsewhere": (_outside, "missing", "leads out of the data set's folder"),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A project with 9 classes of 20 clips, 9 of 180 of which are bad, each in its own way; path of each -> what it is."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copytree(
        REPOSITORY / "workflow",
        folder / "workflow",
        ignore=shutil.ignore_patterns("tables", "figures", "datasets"),
    )
    for name in ("profiles", "envs"):
        shutil.copytree(REPOSITORY / name, folder / name)
    shutil.copy(REPOSITORY / "Snakefile", folder)
    changes = {
        "presets": {
            "demo": {"episodes": {"way": 3, "test": 30, "val": 6}, "frames": {"clips_per_job": 64}}
        }
    }
    config = overlay(smoke_config(), changes) | {
        "datasets": {"mine": "mine"},
        "paper": "own",
        "roots": ROOTS,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for name in ("tables", "figures", "datasets/mine"):
        (folder / "workflow" / name).mkdir(parents=True)
    (folder / "workflow/tables/own_table1.yaml").write_text(yaml.safe_dump(TABLE))
    entries = toy_entries({"train": 3, "val": 3, "test": 3}, clips=20)
    entries["path"] = entries["path"].str.replace("clip_", f"{NASTY} clip_", regex=False)
    entries["class"] = entries["class"] + NASTY.replace("/", "")
    splits.write(folder / "workflow/datasets/mine/split.tsv", entries)
    set_card(folder, 0.05)
    for number, path in enumerate(entries.path):
        write_code_video(folder / "data" / "mine" / path, 12, number)
    chosen = np.random.default_rng(5).choice(len(entries), len(BAD), replace=False)
    found = {}
    for row, (kind, (change, *_)) in zip(sorted(chosen), BAD.items()):
        change(folder / "data" / "mine" / entries.path[row])
        found[entries.path[row]] = kind
    return folder, found


def set_card(folder: Path, allowed: float) -> None:
    card = toy_card("mine", max_failures=allowed, min_frames=8, files={"extensions": [".mp4"]})
    (folder / "workflow/datasets/mine/card.yaml").write_text(yaml.safe_dump(card))


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(FRONT), "--cores", "2", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=900,
    )


def told(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 2, (done.stdout + done.stderr)[-3000:]
    return [line for line in done.stderr.splitlines() if line.startswith("fsar: error:")][-1]


def test_the_run_ends_and_its_table_lists_them(bad, ledger):
    folder, kinds = bad
    done = snakemake(folder, "--", "results/tables/own_table1.csv")
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    study = Study(load_config(folder / "config.yaml"), folder / "workflow")
    with open(
        folder / "results/tables/own_table1.left_out.csv", newline="", encoding="utf-8"
    ) as stream:
        listed = list(csv.DictReader(stream))
    assert {row["path"]: kinds[row["path"]] for row in listed} == kinds and len(listed) == len(
        kinds
    )
    for row in listed:
        _, kind, words = BAD[kinds[row["path"]]]
        assert (
            row["dataset"] == "mine"
            and row["problem"].startswith(f"{kind}: ")
            and words in row["problem"]
        ), row
    text = (folder / "results/tables/own_table1.md").read_text(encoding="utf-8")
    assert (
        "9 of 180 clips of mine could not be used and were left out (5.0%, its card allows 5.0%)"
        in text
    )
    # None of them is in any episode, and all others may be.
    index = read_index(folder / study.paths.index("mine"))
    broken = set(index.row[index.problem != ""])
    assert {index.path[row] for row in broken} == set(kinds)
    for run in study.experiments.runs.values():
        for spec in (run.test, run.validation):
            assert not broken & set(tables.load(folder / study.paths.episodes(spec)).rows)
        summary = json.loads((folder / study.paths.run(run) / "summary.json").read_text())
        assert summary["episodes"] == 30 and summary["accuracy"] > 0
    unlisted = len(kinds) - len(listed)
    ledger.add(
        "bad videos", len(kinds), detected=len(listed), wrong=unlisted, note="left out and listed"
    )
    # Names of files and classes were nothing but names.
    assert not list(folder.rglob("PWNED")) and not (Path.cwd() / "PWNED").exists()


def test_below_the_threshold_of_a_stricter_card_it_stops_at_the_index(bad, tmp_path):
    folder, kinds = bad
    copy = copied(folder, tmp_path)
    set_card(copy, 0.04)
    message = told(snakemake(copy, "--", "results/tables/own_table1.csv"))
    assert "9 of 180 clips below data/mine cannot be used, first '" in message
    assert (
        "expected at most 4.0% (max_failures in the card): mend the files or raise the threshold"
        in message
    )
    listing = next((copy / "results/logs/clip_index").glob("*.problems.tsv"))
    assert message.endswith(f"all are listed in {listing.relative_to(copy)}")
    with open(listing, newline="", encoding="utf-8") as stream:
        assert {row["path"] for row in csv.DictReader(stream, delimiter="\t")} == set(kinds)
    assert (
        not list((copy / ROOTS["stores"]).rglob("*.tsv")) and not (copy / "results/tables").exists()
    )


def test_a_clip_that_breaks_after_the_index_is_counted_once_the_index_is_updated(bad, tmp_path):
    folder, kinds = bad
    copy = copied(folder, tmp_path)
    assert snakemake(copy, "--", "index").returncode == 0
    victim = next(path for path in toy_paths(copy) if path not in kinds)
    (copy / "data/mine" / victim).write_bytes(b"broken since")
    target = "results/tables/own_table1.csv"
    message = told(snakemake(copy, "--", target))
    assert (
        message.startswith("fsar: error: data/mine/")
        and "changed since the clip index was made" in message
    )
    assert "`snakemake -R clip_index -- TARGET`" in message
    message = told(snakemake(copy, "-R", "clip_index", "--", target))
    assert "10 of 180 clips below data/mine cannot be used, first '" in message
    assert "expected at most 5.0% (max_failures in the card)" in message
    assert (
        not list((copy / ROOTS["stores"]).rglob("manifest.json"))
        and not (copy / "results/tables").exists()
    )
    # A card with a higher threshold accepts ten bad clips, and the table lists them.
    set_card(copy, 0.06)
    done = snakemake(copy, "-R", "clip_index", "--", target)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    with open(
        copy / "results/tables/own_table1.left_out.csv", newline="", encoding="utf-8"
    ) as stream:
        listed = {row["path"]: row["problem"] for row in csv.DictReader(stream)}
    assert set(listed) == {*kinds, victim} and "Invalid data" in listed[victim]


def copied(folder: Path, target: Path) -> Path:
    """The project before any run."""
    made = target / "copy"
    ignored = shutil.ignore_patterns(
        ".snakemake", *(ROOTS[name] for name in ("stores", "results", "weights"))
    )
    shutil.copytree(folder, made, symlinks=True, ignore=ignored)
    return made


def toy_paths(folder: Path) -> list[str]:
    return splits.read(folder / "workflow/datasets/mine/split.tsv").path.tolist()
