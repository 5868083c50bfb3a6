"""`fsar repair`: what it removes, what it asks of snakemake, and whose time stamps it keeps.

Here a stand-in does snakemake's part; tests/workflow/test_upkeep.py lets the real one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fsar_core.__main__ import main
from fsar_core.maintenance import repair as module
from fsar_core.storage.provenance import read_json, write_json
from tests.maintenance.test_verify import KEPT, RUN, filled, flip  # noqa: F401

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
                return subprocess.CompletedProcess(
                    command, 1, "", f"something\nfsar: error: {said}\nExiting\n"
                )
            if "--dry-run" not in command:
                filling = any(
                    "/receipts/" in path and not Path(path).exists() for path in self.makes
                )
                for path, source in self.makes.items():
                    if not Path(path).exists() or (
                        filling and "/c/" in path
                    ):  # a job writes all its shards
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
    changed = {
        path
        for path, time in times(made).items()
        if time != OLD and path.startswith(("stores", "results"))
    }
    assert changed == {SHARD}  # which snakemake does not look at
    assert (made / SHARD).read_bytes() == (
        KEPT / "frames/data.zarr/frames/c/0/0/0/0/0/0"
    ).read_bytes()


def test_a_seal_that_is_not_as_it_was_looks_new(made, snakemake):
    """Then what was made of the store has to be made again, and snakemake shall see it."""
    whole_store(snakemake)
    seal = made / STORE / "manifest.json"
    write_json(seal, read_json(seal, "") | {"failures": []})
    os.utime(seal, ns=(OLD, OLD))
    flip(made / SHARD, 9)
    assert main(["repair", STORE]) == 0
    assert (
        seal.read_bytes() == (KEPT / "frames/manifest.json").read_bytes()
        and seal.stat().st_mtime_ns > OLD
    )


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
    assert (made / file).read_bytes() == (KEPT / kept).read_bytes() and (
        made / file
    ).stat().st_mtime_ns == OLD


def test_a_run_is_tested_again(made, snakemake):
    folder = f"results/runs/{RUN}"
    snakemake.makes = {
        f"{folder}/{name}": KEPT / "run" / name for name in ("summary.json", "queries.csv.gz")
    }
    flip(made / folder / "queries.csv.gz", 60)
    assert main(["repair", folder]) == 0
    assert snakemake.lines[-1][-1] == f"{folder}/summary.json"
    assert (made / folder / "queries.csv.gz").read_bytes() == (
        KEPT / "run/queries.csv.gz"
    ).read_bytes()
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
    assert (
        capsys.readouterr().out
        == f"{STORE}: sound; nothing to mend\nstores/index/toy.tsv: sound; nothing to mend\n"
    )
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


# -- a repair that is killed --------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def _kill_when(monkeypatch, owner, name: str, when) -> None:
    """Let a function end the repair, as a kill would, at the first call for which `when` is true."""
    original = getattr(owner, name)

    def function(*args, **kwargs):
        if when(*args):
            monkeypatch.setattr(owner, name, original)
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, function)


def _is_going(path, name: str) -> bool:
    return str(path).startswith(STORE) and str(path).endswith(name)


KILLS = {
    "before anything is removed": lambda patch, made: _kill_when(
        patch, module.stores, "remove_bad", lambda *_: True
    ),
    "before the seal is removed": lambda patch, made: _kill_when(
        patch, Path, "unlink", lambda path, **_: _is_going(path, "manifest.json")
    ),
    "before the receipt is removed": lambda patch, made: _kill_when(
        patch, Path, "unlink", lambda path, **_: _is_going(path, "receipts/0.json")
    ),
    "before the shard is removed": lambda patch, made: _kill_when(
        patch, Path, "unlink", lambda path, **_: _is_going(path, "/0")
    ),
    "before snakemake runs": lambda patch, made: _kill_when(
        patch, module, "_snakemake", lambda words, *_: not words
    ),
    "before times are set": lambda patch, made: _kill_when(
        patch, module, "_keep_times", lambda *_: True
    ),
    "before the note is removed": lambda patch, made: _kill_when(
        patch, Path, "unlink", lambda path, **_: _is_going(path, ".repair")
    ),
}


@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_repair_goes_on_where_it_was(made, snakemake, monkeypatch, capsys, kill):
    """Whatever the moment, the same command finishes the work: a sealed store that looks as old as ever."""
    whole_store(snakemake)
    flip(made / SHARD, 9)
    os.utime(made / SHARD, ns=(OLD, OLD))
    before = times(made)
    KILLS[kill](monkeypatch, made)
    with pytest.raises(Killed):
        main(["repair", STORE])
    capsys.readouterr()
    assert main(["repair", STORE]) == 0
    out = capsys.readouterr().out
    assert f"{STORE}: an interrupted repair goes on\n" in out and out.endswith(f"{STORE}: mended\n")
    after = times(made)
    assert after.keys() == before.keys() and {
        path for path in after if after[path] != before[path]
    } <= {SHARD}
    assert (made / SHARD).read_bytes() == (
        KEPT / "frames/data.zarr/frames/c/0/0/0/0/0/0"
    ).read_bytes()
    assert main(["repair", STORE]) == 0
    assert capsys.readouterr().out == f"{STORE}: sound; nothing to mend\n"


def test_a_repair_that_is_killed_twice_still_knows_the_old_times(made, snakemake, monkeypatch):
    whole_store(snakemake)
    flip(made / SHARD, 9)
    for kill in ("before snakemake runs", "before times are set"):
        KILLS[kill](monkeypatch, made)
        with pytest.raises(Killed):
            main(["repair", STORE])
    assert (made / STORE / "manifest.json").stat().st_mtime_ns > OLD
    assert main(["repair", STORE]) == 0
    assert (made / STORE / "manifest.json").stat().st_mtime_ns == OLD
    assert (made / STORE / "receipts/0.json").stat().st_mtime_ns == OLD


def test_a_repair_that_is_really_killed_is_finished(made, snakemake, capsys):
    whole_store(snakemake)
    flip(made / SHARD, 9)
    script = """
import subprocess, sys, time
from fsar_core.__main__ import main
from fsar_core.maintenance import repair
def run(command, **_):
    if "--dry-run" not in command:
        print("snakemake", flush=True)
        time.sleep(60)
    return subprocess.CompletedProcess(command, 0, "", "")
repair.subprocess.run = run
main(sys.argv[1:])
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script, "repair", STORE],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(module.__file__).parents[2])},
    )
    lines = [line for line in iter(child.stdout.readline, "snakemake\n")]
    assert f"{STORE}: removed manifest.json\n" in lines
    child.kill()
    child.communicate()
    assert not (made / STORE / "manifest.json").exists()
    assert main(["verify", STORE]) == 0
    assert capsys.readouterr().out.startswith(
        f"{STORE}: not finished: 1 jobs are not done; a repair was interrupted, finish it with `fsar repair {STORE}`\n"
    )
    assert main(["repair", STORE]) == 0
    assert (made / STORE / "manifest.json").stat().st_mtime_ns == OLD


@pytest.mark.parametrize(
    "word", ["stores/index/toy.tsv", f"results/runs/{RUN}", f"results/runs/{RUN}/queries.csv.gz"]
)
def test_a_killed_repair_of_a_file_or_a_run_goes_on(made, snakemake, monkeypatch, capsys, word):
    folder = f"results/runs/{RUN}"
    snakemake.makes = {
        f"{folder}/{name}": KEPT / "run" / name for name in ("summary.json", "queries.csv.gz")
    }
    snakemake.makes["stores/index/toy.tsv"] = KEPT / "index.tsv"
    before = times(made)
    damaged = made / (word if word.endswith(".tsv") else f"{folder}/queries.csv.gz")
    flip(damaged, 60)
    os.utime(damaged, ns=(OLD, OLD))
    KILLS["before snakemake runs"](monkeypatch, made)
    with pytest.raises(Killed):
        main(["repair", word])
    assert times(made).keys() != before.keys()
    assert main(["repair", word]) == 0
    assert "an interrupted repair goes on" in capsys.readouterr().out
    assert times(made).keys() == before.keys()
    for name in ("stores/index/toy.tsv", f"{folder}/summary.json"):
        assert (made / name).stat().st_mtime_ns == OLD


@pytest.mark.parametrize("text", ["", "{}", '{"files": {"manifest.json": [1]}}', '{"files": []}'])
def test_a_damaged_note_says_only_that_there_was_a_repair(made, snakemake, text):
    whole_store(snakemake)
    (made / STORE / "manifest.json").unlink()
    (made / STORE / ".manifest.json.repair").write_text(text)
    assert main(["repair", STORE]) == 0
    assert (made / STORE / "manifest.json").stat().st_mtime_ns > OLD
    assert not (made / STORE / ".manifest.json.repair").exists()


def test_an_old_note_does_not_make_other_content_look_old(made, snakemake, monkeypatch):
    """The store was filled otherwise after a repair had been killed."""
    whole_store(snakemake)
    flip(made / SHARD, 9)
    KILLS["before snakemake runs"](monkeypatch, made)
    with pytest.raises(Killed):
        main(["repair", STORE])
    seal = made / STORE / "manifest.json"
    write_json(made / STORE / "receipts/0.json", read_json(KEPT / "frames/receipts/0.json", ""))
    shutil.copy(KEPT / "frames/data.zarr/frames/c/0/0/0/0/0/0", made / SHARD)
    write_json(seal, read_json(KEPT / "frames/manifest.json", "") | {"failures": []})
    changed = seal.stat().st_mtime_ns
    assert main(["repair", STORE]) == 0
    assert seal.stat().st_mtime_ns == changed > OLD


def test_a_store_that_is_merely_unfinished_is_not_mended(made, snakemake, capsys):
    (made / STORE / "manifest.json").unlink()
    assert main(["repair", STORE]) == 0
    assert (
        capsys.readouterr().out == f"{STORE}: not sealed yet; nothing to mend\n"
        and snakemake.lines == []
    )


def test_a_seal_that_records_more_than_before_looks_as_old_as_ever(made, snakemake, tmp_path):
    """A store of an earlier version is mended by this one, whose receipts say more; readers get the same."""
    whole_store(snakemake)
    more = tmp_path / "more.json"
    files = read_json(KEPT / "frames/manifest.json", "")["files"]
    files = {key: entry | {"clips": "00" * 4 * 18} for key, entry in files.items()}
    write_json(more, read_json(KEPT / "frames/manifest.json", "") | {"files": files, "inputs": {}})
    snakemake.makes[f"{STORE}/manifest.json"] = more
    write_json(
        tmp_path / "receipt.json", read_json(KEPT / "frames/receipts/0.json", "") | {"files": files}
    )
    snakemake.makes[f"{STORE}/receipts/0.json"] = tmp_path / "receipt.json"
    flip(made / SHARD, 9)
    assert main(["repair", STORE]) == 0
    seal = made / STORE / "manifest.json"
    assert seal.read_bytes() == more.read_bytes() and seal.stat().st_mtime_ns == OLD
