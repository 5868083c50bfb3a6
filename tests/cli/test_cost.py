"""`fsar cost` and `fsar status`: what is left, in numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fsar_core.__main__ import main
from fsar_core.data.index import write_index
from fsar_core.store_kinds import frames as frame_store
from fsar_core.stores.layout import create, read_plan
from fsar_core.stores.manifest import seal
from fsar_core.stores.writer import Block, write_job
from tests.builders import toy_index
from tests.workflow.folders import SMOKE, study

ROOT = Path(__file__).resolve().parents[2]
FILES = ["--config", str(ROOT / "config.yaml"), "--workflow", str(ROOT / "workflow")]
TOY = [*FILES, "--configfile", str(SMOKE)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, *words: str) -> list[str]:
    status = main(list(words))
    out, err = capsys.readouterr()
    assert (status, err) == (0, ""), err
    return out.splitlines()


def test_everything_on_the_five_data_sets(here, capsys):
    """112,000 clips counted from the cards, although no split list and no weights of the teacher are there."""
    lines = said(
        capsys, "cost", *FILES, "--configfile", str(ROOT / "benchmarks" / "five_data_sets.yaml")
    )
    rows = {line.split()[0]: line.split() for line in lines[1:] if re.match(r"\w+ +[\d,]+ ", line)}
    counted = [line for line in lines if "counted from its card" in line]
    assert "ssv2_full: counted from its card, 67,013 + 1,926 + 2,857 clips" in counted
    assert len(counted) == 5
    # 1.6 MB of frames a clip of 8, compressed by 1.66; figures want stores of more frames of some data sets.
    clips = 71796 + 10000 + 10000 + 6766 + 13320
    assert (
        rows["fill_frames"][3] == "GB"
        and float(rows["fill_frames"][2]) > clips * 8 * 256**2 * 3 / 1.66 / 1e9
    )
    assert int(rows["all"][1].replace(",", "")) == sum(
        int(row[1].replace(",", "")) for name, row in rows.items() if name != "all"
    )
    assert int(rows["all"][1].replace(",", "")) < 4000
    assert any(line.startswith("speeds: ") for line in lines)
    assert any("a GPU counts as 240 cores: an H100" in line for line in lines)


def test_speeds_of_ones_own(here, capsys):
    text = (
        "source: mine\nclips: {a: 1}\nstart: 3600\ngpu: 2\ngpu_source: mine\nratios: {frames: 1}\n"
    )
    (here / "mine.yaml").write_text(text)
    lines = said(capsys, "cost", "dmgal_table7", *TOY, "--throughputs", "mine.yaml", "--cores", "2")
    # Counted without data: the measurement and the table, an hour each to start.
    assert lines[1].split() == ["complexity", "1", "-", "1.0", "1.0"]
    assert lines[2].split() == ["table", "1", "-", "1.0", "-"]
    assert lines[3].split() == ["all", "2", "-", "2.0", "1.0"]
    assert lines[4] == "at least 1.0 h with 2 cores, always busy, and no GPU"
    assert said(capsys, "cost", "dmgal_table7", *TOY, "--throughputs", "mine.yaml", "--gpus", "1")[
        4
    ] == ("at least 1.0 h with 1 core and 1 GPU that are always busy")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["cost", "dmgal_table22"],
            "no table or figure 'dmgal_table22'; did you mean 'dmgal_table2'?",
        ),
        (
            ["cost", "--preset", "papr"],
            "--preset: 'papr' is not among presets; did you mean 'paper'?",
        ),
        (["status", "--throughputs", "x.yaml"], "x.yaml: no such file"),
    ],
)
def test_mistakes(here, capsys, words, line):
    assert main([*words, *FILES]) == 2
    assert capsys.readouterr().err == f"fsar: error: {line}\n"


@pytest.mark.parametrize("words", [["status"], ["cost"], ["check"], ["show", "x"], ["clean"]])
def test_in_another_folder_it_says_what_to_do(here, capsys, words):
    assert main(words) == 2
    line = "config.yaml: no such file; start fsar in the project's folder, or name the file with --config"
    assert capsys.readouterr().err == f"fsar: error: {line}\n"


def test_status_from_nothing_to_done(here, capsys):
    graph = study().artifacts
    target = graph.get("table", "dmgal_table1")
    (first,) = [
        line
        for line in said(capsys, "status", "dmgal_table1", *TOY)
        if line.startswith("dmgal_table1")
    ]
    # Two demo data sets, drawn by two jobs each, their indices, the table.
    assert first.split(maxsplit=1)[1].startswith(
        "missing: 7 jobs (4 demo_videos, 2 clip_index, 1 table), "
    )
    assert first.endswith(" of one core")  # it stores nothing, and no GPU could help
    for artifact in graph.behind([target]):
        for job in artifact.jobs:
            job.path.parent.mkdir(parents=True, exist_ok=True)
            if job.path != target.path:
                job.path.touch()
    lines = said(capsys, "status", "dmgal_table1", "dmgal_table7", *TOY)
    assert lines[0] == f"{'dmgal_table1':18} missing: 1 job (1 table), less than 1 min of one core"
    assert (
        lines[1].split(maxsplit=1)[1]
        == "missing: 2 jobs (1 complexity, 1 table), less than 1 min of one core"
    )
    assert lines[2].startswith(
        f"{'together':18} 0 of 2 done; missing: 3 jobs (2 table, 1 complexity), "
    )
    target.path.touch()
    assert said(capsys, "status", "dmgal_table1", *TOY) == [
        f"{'dmgal_table1':18} done",
        f"{'together':18} 1 of 1 done",
        "what is out of date, and so made again, snakemake tells: snakemake -n",
    ]


def test_status_names_lost_clips_and_how_to_try_them_again(here, capsys):
    whole = study()
    frames, index_path = (
        whole.paths.store(whole.specs.frames("demo_temporal")),
        whole.paths.index("demo_temporal"),
    )
    index = toy_index({"train": 1}, clips=3)
    index.loc[1, "problem"] = "lost: the decoder crashed (SIGKILL)"
    write_index(index_path, index)
    create(frames, frame_store.plan(whole.specs.frames("demo_temporal"), index, 64))
    failures = [
        {"row": 1, "path": index.path[1], "problem": index.problem[1]},
        {"row": 2, "path": index.path[2], "problem": "no answer within 60 s", "lost": True},
    ]
    shape = read_plan(frames).shapes["frames"]
    blocks = [Block({"frames": np.ones((3, 1, *shape), np.uint8)}, failures)]
    write_job(frames, 0, blocks, frames / "receipts" / "0.json")
    seal(frames, 1.0)
    lines = said(capsys, "status", "dmgal_table2", *TOY)
    assert (
        f"{index_path}: 1 clip was lost with the decoder, first '{index.path[1]}'; try again with "
        f"`snakemake -R {index_path} -- {index_path}`, and then run snakemake as usual"
    ) in lines
    assert (
        f"{frames}/manifest.json: 1 clip was lost with the decoder, first '{index.path[2]}' (no answer within 60 s); try "
        f"again with `snakemake -R {frames}/receipts/0.json -- {frames}/manifest.json`, and then run snakemake as usual"
    ) in lines


def test_done_jobs_give_the_speeds(here, capsys):
    """An index of 360 clips that took 36 seconds: that of the other data set is thought to take as long."""
    index = study().artifacts.get("clip_index", "demo_spatial").path
    file = Path("results/benchmarks/clip_index") / f"{index.stem}.tsv"
    file.parent.mkdir(parents=True)
    file.write_text("s\tcpu_time\n1\t36.0\n")
    lines = said(capsys, "cost", "dmgal_table1", *TOY)
    row = next(line.split() for line in lines if line.startswith("clip_index"))
    assert row[1:4] == ["2", "-", f"{(2 * 36 + 2 * 4) / 3600:.3f}"]
    assert any(
        line.startswith("speeds: jobs that are done here (results/benchmarks) for clip_index; ")
        for line in lines
    )
    assert not any(
        "jobs that are done" in line
        for line in said(capsys, "cost", "dmgal_table1", *TOY, "--shipped")
    )
