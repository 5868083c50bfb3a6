"""A data set of one's own: a folder with a card and a split list, and no Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from fsar_core.config import load_config
from fsar_core.data import demo, splits
from fsar_core.study import Study
from tests.workflow.folders import FRONT, REPOSITORY, overlay, smoke_config

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CARD = {
    "title": "Moves & (turns)!",
    "source": "made by a test",
    "citation": "none",
    "licence": "none",
    "modality": "temporal",
    "folder": "mine",
    "split": {"format": "split_tsv", "file": "split.tsv"},
    "flip": False,
    "max_failures": 0.0,
}


def copy_of_the_workflow(folder: Path) -> None:
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(REPOSITORY / name, folder / name)
    shutil.copy(REPOSITORY / "Snakefile", folder)
    changes = {
        "datasets": {"ssv2_small": "mine"},
        "presets": {"demo": {"episodes": {"way": 3, "test": 30, "val": 4}}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(overlay(smoke_config(), changes)))


def add_data(folder: Path) -> list[str]:
    """9 classes of 3 clips in three splits, with names as HMDB51 has them. Returns the clips' paths."""
    names = iter(demo.class_names("demo_temporal"))
    rows = []
    for split in ("train", "val", "test"):
        for _ in range(3):
            source = next(names)
            for clip in range(3):
                path = f"{split}/{demo.slug(source)}/a clip (no. {clip})! [x] & 'y'.mp4"
                made = demo.write_clip(
                    folder / "made",
                    "demo_temporal",
                    source,
                    0,
                    clip,
                    frames=12,
                    height=48,
                    width=64,
                )
                (folder / "data" / "mine" / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(made, folder / "data" / "mine" / path)
                rows.append((split, source, path, ""))
    card = folder / "workflow" / "datasets" / "mine"
    card.mkdir(parents=True)
    (card / "card.yaml").write_text(yaml.safe_dump(CARD))
    splits.write(card / "split.tsv", pd.DataFrame(rows, columns=list(splits.COLUMNS)))
    return [path for _, _, path, _ in rows]


@pytest.fixture(scope="module")
def mine(tmp_path_factory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("own")
    copy_of_the_workflow(folder)
    return folder, add_data(folder)


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(FRONT), "--cores", "2", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=600,
    )


def told(done: subprocess.CompletedProcess) -> str:
    return [line for line in done.stderr.splitlines() if line.startswith("fsar: error:")][-1]


def test_a_folder_and_a_split_list_are_enough(mine):
    folder, paths = mine
    whole = Study(load_config(folder / "config.yaml"), folder / "workflow")
    run = next(
        c.run
        for c in whole.experiments.cells("dmgal_table2")
        if c.row.method == "DMGAL-FT (Bi-MHM)" and c.run.features.dataset == "mine"
    )
    assert run.test.shot == 1
    # Fill the stores relative to the folder, as a user would.
    done = snakemake(folder, f"results/runs/{run.run_id}/summary.json")
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    summary = json.loads((folder / "results" / "runs" / run.run_id / "summary.json").read_text())
    assert (
        summary["dataset"] == "mine"
        and summary["episodes"] == 30
        and len(summary["class_names"]) == 3
    )
    index = next((folder / "stores" / "index").glob("mine.*.tsv")).read_text()
    assert all(path in index for path in paths)


def test_a_new_title_makes_nothing_again(mine):
    folder, _ = mine
    assert snakemake(folder, "index").returncode == 0
    card = folder / "workflow" / "datasets" / "mine" / "card.yaml"
    card.write_text(yaml.safe_dump(CARD | {"title": "Another title", "citation": "of a later day"}))
    again = snakemake(folder, "index")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr
    # What decides pixels does: a flip rule is part of the stores' identity.
    card.write_text(yaml.safe_dump(CARD | {"flip": True}))
    other = snakemake(folder, "-n", "index")
    assert other.returncode == 0 and "clip_index" in other.stdout + other.stderr
    card.write_text(yaml.safe_dump(CARD))


def test_an_unreadable_video_is_named(mine, tmp_path):
    folder, paths = mine
    copy = tmp_path / "copy"
    shutil.copytree(
        folder, copy, ignore=shutil.ignore_patterns(".snakemake", "stores", "results", "weights")
    )
    (copy / "data" / "mine" / paths[4]).write_bytes(b"no video")
    done = snakemake(copy, "frames")
    assert done.returncode == 2
    assert paths[4] in told(done) and "1 of 27 clips" in told(done) and "max_failures" in told(done)
    assert not list((copy / "stores").rglob("mine.*.tsv"))


def test_a_missing_video_folder_is_named(mine, tmp_path):
    folder, _ = mine
    copy = tmp_path / "copy"
    shutil.copytree(
        folder,
        copy,
        ignore=shutil.ignore_patterns(".snakemake", "stores", "results", "weights", "data"),
    )
    done = snakemake(copy, "index")
    assert done.returncode == 2
    assert "video folder data/mine" in told(done) and "roots.data" in told(done)


def test_too_few_clips_for_the_shot_are_named(mine):
    """3 clips a class serve 1-shot episodes and no 3-shot ones."""
    folder, _ = mine
    whole = Study(load_config(folder / "config.yaml"), folder / "workflow")
    run = next(
        c.run
        for c in whole.experiments.cells("dmgal_table2")
        if c.column.shot == 3 and c.run.features.dataset == "mine"
    )
    done = snakemake(folder, f"results/episodes/{run.test.key}.npz")
    assert done.returncode == 2
    assert "has 3 usable clips" in told(done) and "need 4" in told(done)
    assert not (folder / "results" / "episodes" / f"{run.test.key}.npz").exists()
