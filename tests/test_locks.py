"""Locks of killed runs are removed, those of living ones stay."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fsar_core import locks
from fsar_core.locks import alone, folder_of, working

HOLDER = """
import sys, time
from pathlib import Path
from fsar_core.locks import working
with working(Path(sys.argv[1]), ["--cores", "2", "a b.csv"]) as others:
    print("in", *others, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ("--cores 2 a.csv", "."),
        ("--directory /x a.csv", "/x"),
        ("-d x/y a.csv", "x/y"),
        ("a --directory=/z", "/z"),
        ("a -d", "."),
    ],
)
def test_the_folder_of_a_command_line(words, folder):
    assert folder_of(words.split()) == Path(folder)


def lock(folder: Path) -> Path:
    path = folder / ".snakemake" / "locks" / "0.output.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("results/a.csv\n")
    return path


@pytest.fixture
def holder(tmp_path):
    """A process that works in tmp_path."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in\n"
    yield process
    process.kill()
    process.communicate()


def test_what_a_killed_run_locked_is_free_again(tmp_path, holder, capsys):
    left = lock(tmp_path)
    with working(tmp_path, []) as others:
        assert others == [f"process {holder.pid} on {locks.socket.gethostname()} since {since(tmp_path)}: "
                          "snakemake --cores 2 a b.csv"]  # fmt: skip
        assert left.exists() and capsys.readouterr().err == ""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with working(tmp_path, []) as others:
        assert others == [] and not left.exists()
        assert "was killed; what it had locked is free again" in capsys.readouterr().err


def since(folder: Path) -> str:
    return json.loads((folder / ".snakemake" / "fsar.runs").read_text().splitlines()[0])["since"]


def test_nothing_is_said_where_nothing_is_left(tmp_path, capsys):
    with working(tmp_path / "new", []) as others:
        assert others == []
    assert capsys.readouterr().err == ""


def test_those_who_have_ended_and_lines_cut_short_are_not_named(tmp_path, holder):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    runs = tmp_path / ".snakemake" / "fsar.runs"
    gone = {"pid": int(ended.stdout), "host": locks.socket.gethostname(), "since": "then", "work": ""}
    elsewhere = gone | {"host": "elsewhere"}
    with open(runs, "a") as stream:
        stream.write(json.dumps(gone) + "\n" + json.dumps(elsewhere) + '\n{"pid": 1\n[]\n')
    with working(tmp_path, []) as others:
        assert [text.split(" since")[0] for text in others] == [
            f"process {holder.pid} on {gone['host']}",
            f"process {ended.stdout.strip()} on elsewhere",
        ]


def test_a_second_front_keeps_the_lock_when_the_first_goes(tmp_path, holder):
    with working(tmp_path, []):
        holder.kill()
        holder.wait()
        left = lock(tmp_path)
        third = subprocess.run([sys.executable, "-c", HOLDER.replace("sleep(60)", "sleep(0)"), str(tmp_path)],
                               capture_output=True, text=True)  # fmt: skip
        assert third.returncode == 0 and left.exists() and f"process {os.getpid()} " in third.stdout


def test_a_file_system_without_locks_changes_nothing(tmp_path, monkeypatch):
    def no(*_):
        raise OSError(95, "Operation not supported")

    left = lock(tmp_path)
    monkeypatch.setattr(locks.fcntl, "flock", no)
    with working(tmp_path, []) as others:
        assert others == []
    assert left.exists()


WORKER = """
import sys, time
from pathlib import Path
from fsar_core.locks import alone
with alone(Path(sys.argv[1]), "fill job 3"):
    print("in", flush=True)
    sys.stdin.readline()
    Path(sys.argv[2]).write_text("done")
"""


@pytest.mark.parametrize("end", ["finished", "killed"])
def test_a_piece_of_work_is_done_by_one_at_a_time(tmp_path, end, capfd):
    """The second one is told whom it waits for, and goes on as soon as the first has ended, however it does."""
    path, done = tmp_path / "locks" / "3.lock", tmp_path / "done"
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    first = subprocess.Popen([sys.executable, "-c", WORKER, str(path), str(done)], **pipes)
    assert first.stdout.readline() == "in\n"
    second = subprocess.Popen([sys.executable, "-c", WORKER, str(path), str(done)], **pipes, stderr=subprocess.PIPE)
    told = second.stderr.readline()
    assert told.startswith(f"fsar: {path} is held by process {first.pid} on ")
    assert told.endswith(": fill job 3; waiting for it\n") and second.poll() is None
    if end == "finished":
        first.communicate("go\n", timeout=30)
    else:
        first.kill()
        first.communicate()
    assert second.stdout.readline() == "in\n"
    assert done.exists() == (end == "finished")
    second.communicate("go\n", timeout=30)
    assert second.returncode == 0


def test_three_processes_take_turns(tmp_path):
    """Both that wait want to be the only one: when the first has ended, one of them goes on, not both."""
    path, done = tmp_path / "locks" / "3.lock", tmp_path / "done"
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    command = [sys.executable, "-c", WORKER, str(path), str(done)]
    first = subprocess.Popen(command, **pipes)
    assert first.stdout.readline() == "in\n"
    waiting = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in waiting:
        assert "waiting for it" in process.stderr.readline()
    first.communicate("go\n", timeout=30)
    entered, _, _ = select.select([process.stdout for process in waiting], [], [], 30)
    time.sleep(1)
    entered, _, _ = select.select([process.stdout for process in waiting], [], [], 0)
    assert len(entered) == 1
    second, third = sorted(waiting, key=lambda process: process.stdout not in entered)
    second.communicate("go\n", timeout=30)
    assert third.stdout.readline() == "in\n"
    third.communicate("go\n", timeout=30)
    assert [second.returncode, third.returncode] == [0, 0]


def test_a_file_is_busy_as_long_as_it_is_open(tmp_path):
    path = tmp_path / "file"
    assert not locks.is_busy(path)
    with open(path, "w") as stream:
        locks.mark_busy(stream.fileno())
        assert locks.is_busy(path)
        with locks.held(path) as free:
            assert not free
    assert not locks.is_busy(path)
    with locks.held(path) as free:
        assert free and locks.is_busy(path)


def test_work_is_done_where_a_file_system_knows_no_locks(tmp_path, monkeypatch):
    def no(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", no)
    with alone(tmp_path / "a.lock", "work"):
        pass
    monkeypatch.setattr(locks.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"), alone(tmp_path / "a.lock", "work"):
        pass


def test_a_lock_on_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*of):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locks.os, "write", full)
    with pytest.raises(OSError, match="No space left on device") as caught, alone(tmp_path / "train.lock", "train"):
        pytest.fail("nobody may work without the lock")
    assert caught.value.filename == str(tmp_path / "train.lock")
