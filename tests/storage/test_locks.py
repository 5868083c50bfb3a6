"""Work under a lock is done by one process at a time."""

from __future__ import annotations

import select
import subprocess
import sys
import time

import pytest

from fsar_core.storage import locks
from fsar_core.storage.locks import alone

WORKER = """
import sys, time
from pathlib import Path
from fsar_core.storage.locks import alone
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
    second = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(done)], **pipes, stderr=subprocess.PIPE
    )
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
    monkeypatch.setattr(
        locks.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error"))
    )
    with pytest.raises(OSError, match="Input/output"), alone(tmp_path / "a.lock", "work"):
        pass


def test_a_lock_on_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*of):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locks.os, "write", full)
    with (
        pytest.raises(OSError, match="No space left on device") as caught,
        alone(tmp_path / "train.lock", "train"),
    ):
        pytest.fail("nobody may work without the lock")
    assert caught.value.filename == str(tmp_path / "train.lock")
