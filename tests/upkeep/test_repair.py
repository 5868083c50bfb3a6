"""`fsar repair`: what it removes, what it asks of snakemake, and whose time stamps it keeps.

Here a stand-in does snakemake's part; tests/workflow/test_upkeep.py lets the real one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fsar_core.__main__ import main
from fsar_core.provenance import read_json, write_json
from fsar_core.upkeep import repair as module
from tests.upkeep.test_verify import KEPT, RUN, filled, flip  # noqa: F401

OLD = 1_700_000_000 * 10**9  # ns: when everything was made
STORE = "stores/frames/toy.frames"
SHARD = f"{STORE}/data.zarr/frames/c/0/0/0/0/0/0"


@pytest.fixture
def made(filled) -> Path:  # noqa: F811
    for path in filled.rglob("*"):
        os.utime(path, ns=(OLD, OLD), follow_symlinks=False)
    return filled


@pytest.fixture
def snakemake(monkeypatch, made):
    """The command lines that were run. `snakemake.makes`: path -> the file whose copy is then there; `fails`: what it says."""

    class Snakemake:
        def __init__(self):
            self.lines, self.makes, self.fails, self.knows = [], {}, "", lambda word: True

        def run(self, command, capture_output, text):
            words = command[command.index("--") + 1 :]
            self.lines.append(command[1:])
            if self.fails or not all(map(self.knows, words)):
                said = self.fails or "MissingRuleException: no rule"
                return subprocess.CompletedProcess(command, 1, "", f"something\nfsar: error: {said}\nExiting\n")
            if "--dry-run" not in command:
                for path, source in self.makes.items():
                    if not Path(path).exists():
                        Path(path).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(source, path)
                assert all(Path(word).exists() for word in words)
            return subprocess.CompletedProcess(command, 0, "", "")

    stand_in = Snakemake()
    monkeypatch.setattr(module.subprocess, "run", stand_in.run)
    return stand_in


def times(root: Path) -> dict[str, int]:
    """When every file was changed; locks apart, which are signed by whoever reads a store."""
    files = (path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks")
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in files}


def whole_store(snakemake) -> None:
    files = (path for path in (KEPT / "frames").rglob("*") if path.is_file())
    snakemake.makes = {f"{STORE}/{path.relative_to(KEPT / 'frames')}": path for path in files}


def test_a_shard_is_made_again_and_looks_as_old_as_ever(made, snakemake, capsys):
    whole_store(snakemake)
    flip(made / SHARD, 9)
    os.utime(made / SHARD, ns=(OLD, OLD))
    assert main(["repair", SHARD, "--", "--configfile", "mine.yaml"]) == 0
    assert snakemake.lines == [
        ["--cores", "all", *dry, "--configfile", "mine.yaml", "--", f"{STORE}/manifest.json"]
        for dry in (["--dry-run", "--quiet", "all"], [])
    ]
    assert capsys.readouterr().out.splitlines() == [
        f"{STORE}: job 0: data.zarr/frames/c/0/0/0/0/0/0: bytes differ from the receipt's sha256",
        *(
            f"{STORE}: removed {name}"
            for name in ("manifest.json", "receipts/0.json", "data.zarr/frames/c/0/0/0/0/0/0")
        ),
        f"{STORE}: mended",
    ]
    changed = {path for path, time in times(made).items() if time != OLD and path.startswith(("stores", "results"))}
    assert changed == {SHARD}  # which snakemake does not look at
    assert (made / SHARD).read_bytes() == (KEPT / "frames/data.zarr/frames/c/0/0/0/0/0/0").read_bytes()


def test_a_seal_that_is_not_as_it_was_looks_new(made, snakemake):
    """Then what was made of the store has to be made again, and snakemake shall see it."""
    whole_store(snakemake)
    seal = made / STORE / "manifest.json"
    write_json(seal, read_json(seal, "") | {"failures": []})
    os.utime(seal, ns=(OLD, OLD))
    flip(made / SHARD, 9)
    assert main(["repair", STORE]) == 0
    assert seal.read_bytes() == (KEPT / "frames/manifest.json").read_bytes() and seal.stat().st_mtime_ns > OLD


@pytest.mark.parametrize(
    ("file", "at", "kept"),
    [
        ("stores/index/toy.tsv", 200, "index.tsv"),
        ("stores/index/toy.tsv", -20, "index.tsv"),  # its sum
        ("results/episodes/test.npz", 300, "test.npz"),
        ("results/models/m/checkpoint.pt", 300, "model/checkpoint.pt"),
    ],
)
def test_a_file_is_made_again_and_looks_as_old_as_ever(made, snakemake, file, at, kept):
    snakemake.makes = {file: KEPT / kept}
    flip(made / file, at)
    os.utime(made / file, ns=(OLD, OLD))
    assert main(["repair", file, "--", "--cores", "3"]) == 0
    assert snakemake.lines[-1] == ["--cores", "3", "--", file]
    assert (made / file).read_bytes() == (KEPT / kept).read_bytes() and (made / file).stat().st_mtime_ns == OLD


def test_a_run_is_tested_again(made, snakemake):
    folder = f"results/runs/{RUN}"
    snakemake.makes = {f"{folder}/{name}": KEPT / "run" / name for name in ("summary.json", "queries.csv.gz")}
    flip(made / folder / "queries.csv.gz", 60)
    assert main(["repair", folder]) == 0
    assert snakemake.lines[-1][-1] == f"{folder}/summary.json"
    assert (made / folder / "queries.csv.gz").read_bytes() == (KEPT / "run/queries.csv.gz").read_bytes()
    assert (made / folder / "summary.json").stat().st_mtime_ns == OLD


def test_a_damaged_state_of_an_unfinished_training_is_removed(made, snakemake):
    """The training starts anew when its run is made."""
    last = made / "results/models/m/last.pt"
    last.write_bytes((KEPT / "model/checkpoint.pt").read_bytes()[:-100])
    assert main(["repair", str(last)]) == 0
    assert not last.exists() and snakemake.lines == []


@pytest.mark.parametrize("absolute", [False, True])
def test_paths_are_given_as_the_rules_have_them(made, snakemake, absolute):
    """The roots of a configuration may be relative or absolute, whatever the user types."""
    whole_store(snakemake)
    flip(made / SHARD, 9)
    snakemake.knows = lambda word: word.startswith("/") == absolute
    assert main(["repair", STORE if absolute else str(made / STORE)]) == 0
    assert snakemake.lines[-1][-1] == (str(made / STORE) if absolute else STORE) + "/manifest.json"


def test_what_is_sound_is_left_alone(made, snakemake, capsys):
    before = times(made)
    assert main(["repair", STORE, "stores/index/toy.tsv"]) == 0
    assert capsys.readouterr().out == f"{STORE}: sound; nothing to mend\nstores/index/toy.tsv: sound; nothing to mend\n"
    assert times(made) == before and snakemake.lines == []


def test_nothing_is_removed_that_could_not_be_made_again(made, snakemake, capsys):
    snakemake.fails = "no store 'toy.frames' under this configuration"
    flip(made / SHARD, 9)
    before = times(made)
    assert main(["repair", STORE]) == 2
    assert capsys.readouterr().err == (
        f"fsar: error: snakemake cannot make {STORE}/manifest.json: no store 'toy.frames' under this configuration "
        f"(nothing was removed)\n"
    )
    assert times(made) == before


def test_what_stays_damaged_is_told(made, snakemake, capsys):
    snakemake.makes = {"stores/index/toy.tsv": KEPT / "model/history.csv"}
    flip(made / "stores/index/toy.tsv", 200)
    assert main(["repair", "stores/index/toy.tsv"]) == 2
    assert "stores/index/toy.tsv: still damaged (" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--", "--cores", "2"], [STORE, "--cores", "2"]])
def test_mistakes_are_one_line(made, capsys, words):
    assert main(["repair", *words]) == 2
    assert capsys.readouterr().err.startswith(
        "fsar: error: expected stores, folders of runs or files, as `fsar verify`"
    )
