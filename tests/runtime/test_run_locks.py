"""Lock files name their holder; those of provably dead runs are removed, all others are left alone."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fsar_core.runtime import run_locks
from fsar_core.runtime.run_locks import SIGNATURE, Holder, free_dead_locks, read_holders

FRONT = [str(Path(sys.executable).parent / "snakemake")]
NATIVE = [sys.executable, "-m", "snakemake"]
PROJECT = Path(__file__).parents[2] / "Snakefile"
UNRELATED = """
rule all:
    output: "{name}"
    shell: "while [ ! -e {name}.go ]; do sleep 0.1; done; touch {{output}}"
"""
SIGNED = "from fsar_core.runtime.run_locks import sign_locks\nsign_locks()\n" + UNRELATED


class Runs:
    """Snakemake runs in one folder; those that still live at the end of the test are killed with their jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen] = []
        for name, text in (("unrelated", UNRELATED), ("signed", SIGNED)):
            (folder / f"{name}.smk").write_text(text.format(name=f"{name}.txt"))

    @property
    def locks(self) -> dict[str, str]:
        files = (self.folder / ".snakemake" / "locks").glob("*")
        return {path.name: path.read_text() for path in files}

    def start(self, command: list[str], *words: str) -> subprocess.Popen:
        """Start a run and wait until it has locked its output."""
        before = len(self.locks)
        process = subprocess.Popen(
            [*command, "--cores", "1", *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        deadline = time.monotonic() + 60
        while len(self.locks) == before or not all(self.locks.values()):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "it never locked anything"
            time.sleep(0.02)
        return process

    def run(self, command: list[str], *words: str) -> subprocess.CompletedProcess:
        """Run to the end; its standard error holds all that it says."""
        return subprocess.run(
            [*command, *words],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )

    def release(self, name: str) -> None:
        """Let jobs of a workflow finish."""
        (self.folder / f"{name}.txt.go").touch()


@pytest.fixture
def runs(tmp_path):
    runs = Runs(tmp_path)
    yield runs
    for process in runs.started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("command", [FRONT, NATIVE], ids=["front", "native"])
def test_locks_of_a_killed_run_are_removed(runs, command):
    killed = runs.start(command, "-s", "signed.smk")
    kill(killed)
    assert list(runs.locks) == ["0.output.lock"]
    runs.release("signed")
    again = runs.run(FRONT, "-s", "signed.smk", "--cores", "1")
    assert again.returncode == 0, again.stderr
    assert (
        f"fsar: {runs.folder}: removed the locks of a killed run (process {killed.pid} on "
        in again.stderr
    )
    assert runs.locks == {} and (runs.folder / "signed.txt").exists()


@pytest.mark.parametrize("command", [FRONT, NATIVE], ids=["front", "native"])
def test_a_live_run_keeps_its_locks(runs, command):
    live = runs.start(command, "-s", "signed.smk")
    locks = runs.locks
    second = runs.run(FRONT, "-s", "signed.smk", "--cores", "1")
    assert second.returncode == 1 and "LockException" in second.stderr
    assert f"fsar: {runs.folder} is locked by process {live.pid} on " in second.stderr
    assert "removed the locks" not in second.stderr
    assert runs.locks == locks
    runs.release("signed")
    assert live.wait(60) == 0


@pytest.mark.parametrize("end", ["lives", "killed"])
def test_locks_of_an_unrelated_workflow_are_left_alone(runs, end):
    """Whether it lives cannot be known, and another workflow is not this project's business."""
    unrelated = runs.start(NATIVE, "-s", "unrelated.smk")
    if end == "killed":
        kill(unrelated)
    locks = runs.locks
    assert len(locks) == 1 and SIGNATURE not in "".join(locks.values())
    second = runs.run(FRONT, "-s", "unrelated.smk", "--cores", "1")
    assert (
        second.returncode == 1 and "LockException" in second.stderr and "fsar:" not in second.stderr
    )
    assert runs.locks == locks
    # This project's workflow makes other files, so it may work there, and takes nothing but its own locks away.
    runs.release("signed")
    assert runs.run(FRONT, "-s", "signed.smk", "--cores", "1").returncode == 0
    assert runs.locks == locks


def test_locks_without_a_name_are_explained(runs):
    (runs.folder / ".snakemake" / "locks").mkdir(parents=True)
    (runs.folder / ".snakemake" / "locks" / "0.output.lock").write_text("signed.txt\n")
    refused = runs.run(FRONT, "-s", "signed.smk", "--cores", "1")
    assert refused.returncode == 1
    assert f"fsar: {runs.folder} has locks that do not name their holder: " in refused.stderr
    assert "`snakemake --unlock`" in refused.stderr
    unlocked = runs.run(FRONT, "-s", "signed.smk", "--unlock")
    assert unlocked.returncode == 0 and runs.locks == {}


def test_one_unsigned_lock_protects_the_others(runs):
    kill(runs.start(FRONT, "-s", "signed.smk"))
    runs.start(NATIVE, "-s", "unrelated.smk")
    locks = runs.locks
    refused = runs.run(FRONT, "-s", "signed.smk", "--cores", "1")
    assert refused.returncode == 1 and "LockException" in refused.stderr
    assert runs.locks == locks and len(locks) == 2


def test_a_live_run_of_the_project_keeps_its_locks(runs):
    """The workflow itself signs; the first run is stopped, not ended, while it holds its locks."""
    target = ["-s", str(PROJECT), "--workflow-profile", "none", "--", "index"]
    live = runs.start(NATIVE, *target)
    os.killpg(live.pid, signal.SIGSTOP)
    holders = read_holders(runs.folder / ".snakemake" / "locks")
    assert {holder.pid for holder in holders.values()} == {live.pid}
    refused = runs.run(FRONT, "--cores", "1", *target)
    assert refused.returncode == 1, refused.stderr
    assert f"is locked by process {live.pid} on " in refused.stderr
    assert read_holders(runs.folder / ".snakemake" / "locks") == holders
    kill(live)
    free_dead_locks(runs.folder / ".snakemake" / "locks")
    assert runs.locks == {}


@pytest.mark.parametrize(
    "words",
    [
        ["--version"],
        ["-s", "unrelated.smk", "--lint"],
        ["-s", "unrelated.smk", "-n", "-d{other}"],
        ["-s", str(PROJECT), "--list-rules"],
    ],
    ids=" ".join,
)
def test_the_front_leaves_what_snakemake_leaves(tmp_path, words):
    left = []
    for name, command in (("native", NATIVE), ("front", FRONT)):
        folder = tmp_path / name
        folder.mkdir()
        done = Runs(folder).run(command, *(word.format(other=folder / "other") for word in words))
        files = sorted(
            str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix != ".log"
        )
        left.append((done.returncode, files))
    assert left[0] == left[1]


def test_hooks_of_the_installed_snakemake():
    """If a new Snakemake keeps its locks elsewhere, this test says so; its locks would merely not be signed."""
    code = (
        "import snakemake.cli\n"
        "from fsar_core.runtime.run_locks import SignedLocks, sign_locks; sign_locks(); sign_locks()\n"
        "from snakemake import workflow; assert issubclass(workflow.FilePersistence, SignedLocks)\n"
        "assert [base.__name__ for base in workflow.FilePersistence.__bases__] == ['SignedLocks', 'FilePersistence']"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# -- proofs of death -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ended() -> Holder:
    """A process that has ended."""
    code = "from fsar_core.runtime.run_locks import Holder; print(Holder.this_process().signature)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return Holder.parse(done.stdout)


def lock(folder: Path, *lines: str, number: int = 0) -> Path:
    path = folder / ".snakemake" / "locks" / f"{number}.output.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_a_process_that_ended_is_dead_and_this_one_is_not(ended):
    assert ended.is_dead()
    assert not Holder.this_process().is_dead()
    assert not Holder.parse(Holder.this_process().signature).is_dead()


def test_a_recycled_process_id_is_dead():
    here = Holder.this_process()
    assert dataclasses.replace(here, started=here.started - 1).is_dead()


@pytest.mark.parametrize(
    "elsewhere",
    [{"host": "elsewhere"}, {"machine": "0" * 32}, {"namespace": "pid:[1]"}],
    ids=lambda other: min(other),
)
def test_a_process_elsewhere_is_not_provably_dead(ended, elsewhere, tmp_path, capsys):
    other = dataclasses.replace(ended, **elsewhere)
    assert not other.is_dead()
    path = lock(tmp_path, other.signature, "a.txt")
    free_dead_locks(path.parent)
    assert path.exists() and capsys.readouterr().err == ""


def test_a_restarted_machine_has_ended_its_processes():
    here = Holder.this_process()
    assert dataclasses.replace(here, boot="another").is_dead() == (here.machine != "")
    assert not dataclasses.replace(here, boot="another", host="elsewhere").is_dead()


def test_a_restart_proves_nothing_without_a_machine_id(monkeypatch, tmp_path):
    """Two containers may have one name."""
    monkeypatch.setattr(run_locks, "MACHINE_ID", tmp_path / "none")
    here = Holder.this_process()
    assert here.machine == "" and not dataclasses.replace(here, boot="another").is_dead()


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30
    while run_locks._state_and_start(child.pid)[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started = run_locks._state_and_start(child.pid)[1]
    assert dataclasses.replace(Holder.this_process(), pid=child.pid, started=started).is_dead()
    child.wait()


def test_a_hidden_process_is_not_provably_dead(monkeypatch):
    """Where /proc hides the processes of other users, kill() still tells that one exists."""
    here = Holder.this_process()
    shown = run_locks._state_and_start

    def hidden(pid):
        if pid != os.getpid():
            raise FileNotFoundError(2, "No such file or directory")
        return shown(pid)

    monkeypatch.setattr(run_locks, "_state_and_start", hidden)
    assert not dataclasses.replace(here, pid=1).is_dead()


@pytest.mark.parametrize(
    "line",
    [
        "a.txt",
        SIGNATURE,
        SIGNATURE + "{",
        SIGNATURE + "[]",
        SIGNATURE + '{"pid": 1}',
        SIGNATURE + "[" * 100_000,
        "\udcff",
    ],
    ids=range(7),
)
def test_a_damaged_signature_names_nobody(tmp_path, line, ended):
    dead = lock(tmp_path, ended.signature, "a.txt", number=1)
    path = lock(tmp_path)
    path.write_bytes(f"{line}\nb.txt\n".encode(errors="surrogateescape"))
    assert read_holders(path.parent) == {path: None, dead: ended}
    free_dead_locks(path.parent)
    assert path.exists() and dead.exists()


@pytest.mark.parametrize("pid", [0, -1, 2**31, "1", None, 1.5], ids=str)
def test_a_signature_with_an_impossible_pid_names_nobody(ended, pid):
    assert Holder.parse(SIGNATURE + json.dumps(dataclasses.asdict(ended) | {"pid": pid})) is None


def test_an_empty_lock_file_locks_nothing(tmp_path, ended):
    """It may be one that is just being written, so it stays; it does not stand in the way of the others."""
    empty, dead = lock(tmp_path), lock(tmp_path, ended.signature, "a.txt", number=1)
    free_dead_locks(empty.parent)
    assert empty.exists() and not dead.exists()


def test_locks_taken_while_waiting_for_another_run_stay(tmp_path, ended, monkeypatch):
    """Two runs start at once after a kill: the first removes the dead locks and takes its own under the same name."""
    path = lock(tmp_path, ended.signature, "a.txt")

    class Alone:
        def __init__(self, *of):
            lock(tmp_path, Holder.this_process().signature, "a.txt")

        def __enter__(self):
            pass

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(run_locks, "alone", Alone)
    free_dead_locks(path.parent)
    assert path.exists()


def test_nothing_is_written_where_nothing_is_locked(tmp_path):
    free_dead_locks(tmp_path / ".snakemake" / "locks")
    assert list(tmp_path.iterdir()) == []


def test_a_long_command_line_is_cut_short(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["snakemake", "x" * 100_000])
    assert len(Holder.this_process().signature) < 4096
