"""`fsar index`, `plan`, `fill` and `seal` as commands, with a decoder that hangs on one clip and crashes on another."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsar_core.data.index import read_index
from tests.builders import toy_dataset, toy_frame_spec

REPOSITORY = Path(__file__).parents[2]
DECORD = """
import os, signal, time

class logging:
    QUIET = 0
    set_level = staticmethod(lambda level: None)

def cpu(number):
    return number

def VideoReader(path, ctx, num_threads):
    if path.endswith("train class 00/clip_001.mp4") and "index" in os.environ["FAILING"]:
        time.sleep(600)
    if path.endswith("test class 00/clip_000.mp4") and "fill" in os.environ["FAILING"]:
        os.kill(os.getpid(), signal.SIGSEGV)
    raise RuntimeError("rejected")
"""


@pytest.fixture
def fsar(tmp_path):
    """A function that runs a verb in a process whose decord fails in the verbs that `failing` names."""
    (tmp_path / "fakes").mkdir()
    (tmp_path / "fakes" / "decord.py").write_text(DECORD)

    def run(*arguments, failing: str = "", code: int = 0) -> subprocess.CompletedProcess:
        environment = os.environ | {
            "PYTHONPATH": f"{tmp_path / 'fakes'}:{REPOSITORY}",
            "FAILING": failing,
        }
        environment.pop("FSAR_ERRORS", None)
        command = [sys.executable, "-m", "fsar_core", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        return done

    return run


def test_a_hung_and_a_crashed_clip_cost_no_other(fsar, tmp_path):
    made = toy_dataset(tmp_path, max_failures=0.25)
    index, problems, store = tmp_path / "index.tsv", tmp_path / "problems.tsv", tmp_path / "store"
    arguments = [
        "index",
        "--card",
        made.card_file,
        "--folder",
        made.folder,
        "--problems",
        problems,
        "--out",
        index,
    ]
    done = fsar(*arguments, "--timeout", 3, "--threads", 2, failing="index")
    assert done.stdout.splitlines() == [
        "train: 4 clips of 2 classes listed, 3 usable, 1 lost",
        "val: 2 clips of 1 classes listed, 2 usable",
        "test: 2 clips of 1 classes listed, 2 usable",
        "decoded by: pyav 7",
    ]
    with open(problems, newline="") as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    assert row["path"] == "videos/train class 00/clip_001.mp4"
    assert (row["kind"], row["reason"]) == ("lost", "no answer within 3 s")
    assert "clip_001.mp4: no answer within 3 s; trying it once more, alone" in done.stderr

    # As if decord had decoded at the index: it fails when the store is filled, and PyAV steps in but for the crash.
    read_index(index).assign(decoder="decord").to_csv(index, sep="\t", index=False)
    spec = toy_frame_spec().json_text
    fsar("plan", "--spec", spec, "--store", store, "--index", index, "--clips-per-job", 64)
    receipt = store / "receipts" / "0.json"
    where = ["--store", store, "--index", index, "--receipt", receipt, "--folder", made.folder]
    done = fsar("fill", "--spec", spec, *where, "--job", 0, "--timeout", 30, failing="fill")
    value = json.loads(receipt.read_text())
    assert value["failures"] == [
        {"row": 1, "path": row["path"], "problem": "lost: no answer within 3 s"},
        {
            "row": 6,
            "path": "videos/test class 00/clip_000.mp4",
            "problem": "the decoder crashed (SIGSEGV)",
            "lost": True,
        },
    ]
    assert value["counts"] == {"pyav": 6, "pyav in place of decord": 6} and value["seconds"] > 0
    assert done.stdout.startswith("job 0: 8 clips in ")
    assert done.stdout.endswith(" a second, pyav 6, pyav in place of decord 6, 2 failed\n")
    assert "'videos/val class 00/clip_001.mp4': pyav in place of decord" in done.stderr
    assert fsar("seal", "--store", store, "--max-failures", 0.25).stdout.startswith(
        f"{store}: 8 clips, 2 failed"
    )
    assert "sound, but 1 clip was lost with the decoder" in fsar("verify", store, index).stdout

    done = fsar("fill", "--spec", spec, *where, "--job", 0, "--timeout", 30)
    assert done.stdout.startswith("job 0: done again, because clips were lost with their decoder")
    assert [failure["row"] for failure in json.loads(receipt.read_text())["failures"]] == [1]
    done = fsar("fill", "--spec", spec, *where, "--job", 0, "--timeout", 30)
    assert done.stdout == "job 0: already done from the same inputs; its 8 clips stay as they are\n"
    fsar(*arguments, "--timeout", 30)
    assert (read_index(index).problem == "").all()
    done = fsar("fill", "--spec", spec, *where, "--job", 0, "--timeout", 30)
    assert done.stdout.startswith(
        "job 0: done again, because of what it is made from this changed: rows"
    )
    assert json.loads(receipt.read_text())["failures"] == []


def test_too_many_problems_leave_their_list_and_no_index(fsar, tmp_path):
    made = toy_dataset(tmp_path, max_failures=0.1)
    (made.folder / made.entries.path[4]).unlink()
    problems, index = tmp_path / "a" / "problems.tsv", tmp_path / "index.tsv"
    arguments = [
        "index",
        "--card",
        made.card_file,
        "--folder",
        made.folder,
        "--problems",
        problems,
        "--out",
        index,
    ]
    done = fsar(*arguments, code=2)
    assert done.stderr.splitlines()[-1] == (
        f"fsar: error: 1 of 8 clips below {made.folder} cannot be used, first '{made.entries.path[4]}': missing: no such file; "
        f"expected at most 10.0% (max_failures in the card): mend the files or raise the threshold; all are listed in {problems}"
    )
    assert "val: 2 clips of 1 classes listed, 1 usable, 1 missing" in done.stdout
    assert made.entries.path[4] in problems.read_text() and not index.exists()
