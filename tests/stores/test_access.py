"""Nobody unseals a store while somebody reads it, whatever becomes of the processes; folders and buckets alike."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsar_core.storage import locks
from fsar_core.storage.object_paths import Forbidden, ObjectPath
from fsar_core.storage.places import Place
from fsar_core.stores import leases
from fsar_core.stores.access import InUse, exclusive, reader_of, shared, unseal
from fsar_core.stores.access import bucket as bucket_access
from fsar_core.stores.access import folder as folder_access

READER = """
import sys
from fsar_core.storage.places import place
from fsar_core.stores.access import shared
with shared(place(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.readline()
"""
UNSEALER = """
import sys
from fsar_core.storage.places import place
from fsar_core.stores.access import unseal
unseal(place(sys.argv[1]), "fill job 3")
print("unsealed", flush=True)
"""


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path) -> Place:
    """A sealed store; what is in it does not matter here."""
    root = tmp_path if request.param == "folder" else request.getfixturevalue("bucket")
    store = root / "store"
    if isinstance(store, Path):
        store.mkdir()
    (store / "manifest.json").write_bytes(b"{}")
    return store


@contextlib.contextmanager
def process(script: str, store: Place) -> Iterator[subprocess.Popen]:
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    root = str(Path(__file__).parents[2])  # scripts import the tests' builders
    command = [sys.executable, "-c", script, str(store)]
    child = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": root}, **pipes)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def finish(reader: subprocess.Popen) -> None:
    reader.communicate("\n", timeout=60)
    assert reader.returncode == 0


def test_unsealing_waits_for_every_reader(store):
    """One reader ends, one is killed; in between a third one comes and goes."""
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(process(READER, store)) for _ in range(2))
        assert [first.stdout.readline(), second.stdout.readline()] == ["open\n"] * 2
        unsealer = stack.enter_context(process(UNSEALER, store))
        told = unsealer.stderr.readline()
        assert told.startswith(f"fsar: {store} is open in process ") and told.endswith(
            "waiting until that has ended\n"
        )
        assert any(
            f"process {reader.pid} on {locks.socket.gethostname()} since " in told
            for reader in (first, second)
        )
        finish(first)
        with shared(store):
            pass
        time.sleep(1)
        assert unsealer.poll() is None and (store / "manifest.json").exists()
        second.kill()
        second.wait()
        assert unsealer.stdout.readline() == "unsealed\n"
        assert not (store / "manifest.json").exists()


def test_who_does_not_wait_is_told_who_reads(store):
    assert reader_of(store) == ""
    with process(READER, store) as reader:
        assert reader.stdout.readline() == "open\n"
        with pytest.raises(InUse) as error, exclusive(store, "clean", wait=False):
            pytest.fail("somebody reads the store")
        assert str(error.value).startswith(
            f"{store}: open in process {reader.pid} on {locks.socket.gethostname()} since "
        )
        assert str(error.value).endswith("; wait until that has ended, then run this command again")
        assert reader_of(store) == error.value.holder
        reader.kill()
        reader.wait()
        with exclusive(store, "clean", wait=False):
            pass
    assert reader_of(store) == ""


def test_readers_wait_while_a_store_is_unsealed(store):
    """Who opens a store that is about to be unsealed sees it whole or not at all."""
    seen = []

    def read() -> None:
        with shared(store):
            seen.append((store / "manifest.json").exists())

    threads = [threading.Thread(target=read) for _ in range(2)]
    with exclusive(store, "repair", wait=False):
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert seen == []
        (store / "manifest.json").unlink()
    for thread in threads:
        thread.join()
    assert seen == [False, False]


def test_a_process_does_not_wait_for_itself(store):
    with shared(store), pytest.raises(InUse, match=f"open in this process \\({os.getpid()}\\)"):
        unseal(store, "fill job 3")
    unseal(store, "fill job 3")
    assert not (store / "manifest.json").exists()


def test_access_ends_with_the_object_that_holds_it(store):
    class Holder:
        def __init__(self) -> None:
            self.access = shared(store)
            self.itself = self

    Holder()  # garbage that only the collector finds
    unseal(store, "fill job 3")


def test_closing_twice_is_closing_once(store):
    held, other = shared(store), shared(store)
    held.close()
    held.close()
    with pytest.raises(InUse):
        unseal(store, "fill job 3")
    other.close()
    unseal(store, "fill job 3")


def test_files_that_go_with_the_seal_go_before_it(store):
    (store / "0.json").write_bytes(b"{}")
    unseal(store, "fill job 0", store / "0.json", store / "never.json")
    assert not (store / "0.json").exists() and not (store / "manifest.json").exists()


# -- folders ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def test_many_readers_cost_nothing_that_stays(folder):
    for _ in range(2000):
        shared(folder)
    gc.collect()
    opened = (
        os.readlink(handle) for handle in Path("/proc/self/fd").iterdir() if handle.is_symlink()
    )
    assert not any(target.startswith(str(folder)) for target in opened)
    assert (folder / "locks" / "readers.lock").stat().st_size <= folder_access.MANY + 200


def test_names_are_kept_while_somebody_reads(folder, monkeypatch):
    monkeypatch.setattr(folder_access, "MANY", 0)
    with process(READER, folder) as reader:
        assert reader.stdout.readline() == "open\n"
        for _ in range(3):
            shared(folder).close()
        assert str(reader.pid) in (folder / "locks" / "readers.lock").read_text()


def test_a_forked_child_neither_keeps_nor_ends_the_access_of_its_parent(folder):
    held = shared(folder)
    for close in (True, False):
        child = os.fork()
        if child == 0:
            if close:
                held.close()
            else:
                time.sleep(60)
            os._exit(0)
        if close:
            os.waitpid(child, 0)
            with process(UNSEALER, folder) as unsealer:
                assert "waiting until" in unsealer.stderr.readline()
    held.close()
    unseal(folder, "fill job 3")  # although the second child has the file open
    os.kill(child, 9)
    os.waitpid(child, 0)


def test_a_store_that_was_moved_away_meanwhile_is_locked_where_it_is_now(folder):
    """As `fsar clean` does it: who waited for the old folder takes the lock of the new one, or none."""
    taken = []
    thread = threading.Thread(target=lambda: taken.append(shared(folder)))
    with exclusive(folder, "clean", wait=False):
        thread.start()
        time.sleep(0.3)
        folder.rename(folder.with_name("gone"))
        folder.mkdir()
    thread.join()
    assert (folder / "locks" / "readers.lock").exists()
    with pytest.raises(InUse), exclusive(folder, "clean", wait=False):
        pass
    taken[0].close()


def test_nothing_is_made_where_no_store_is(tmp_path):
    with shared(tmp_path / "nothing"), exclusive(tmp_path / "nothing", "clean", wait=False):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exists", [True, False])
def test_a_store_that_may_only_be_read_is_read(folder, monkeypatch, exists):
    """With a lock where a lock file is there already, else without one."""
    if exists:
        shared(folder).close()
    original = os.open

    def read_only(path, flags, *mode):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return original(path, flags, *mode)

    monkeypatch.setattr(folder_access.os, "open", read_only)
    with shared(folder), process(UNSEALER, folder) as unsealer:
        if exists:
            assert " is open in " in unsealer.stderr.readline() and unsealer.poll() is None
        else:
            assert unsealer.stdout.readline() == "unsealed\n"


def test_a_lock_file_that_is_a_link_is_not_followed(folder, tmp_path):
    (folder / "locks").mkdir()
    (folder / "locks" / "readers.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        shared(folder)
    assert not (tmp_path / "elsewhere").exists()


def test_where_a_file_system_knows_no_locks_nothing_is_held(folder, monkeypatch):
    def refuse(error):
        def flock(*_):
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(folder_access.fcntl, "flock", flock)

    refuse(errno.ENOLCK)
    with shared(folder), exclusive(folder, "clean", wait=False):
        pass
    refuse(errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        shared(folder)
    with pytest.raises(OSError, match="Input/output"), exclusive(folder, "clean", wait=False):
        pass


# -- buckets ------------------------------------------------------------------------------------------------------------


def names(store: ObjectPath) -> list[str]:
    return [held.path.below(store) for held in store.objects()]


def lease(store: ObjectPath, kind: str, host: str = "elsewhere", pid: int = 1) -> ObjectPath:
    """Of a process that does not renew it."""
    path = store / "locks" / kind / "0123abcd"
    text = f'{{"pid": {pid}, "host": "{host}", "since": "then", "work": "read", "processes": "{leases._process_table()}"}}'
    path.write_bytes(text.encode())
    return path


def test_leases_are_renewed_and_go_with_their_reader(bucket, monkeypatch):
    monkeypatch.setattr(locks, "RENEWED", 0.05)
    puts, put = [], ObjectPath.write_bytes
    monkeypatch.setattr(
        ObjectPath, "write_bytes", lambda self, data: (puts.append(self), put(self, data))
    )
    with shared(bucket / "store"):
        (name,) = names(bucket / "store")
        assert name.startswith("locks/readers/")
        while len(puts) < 4:
            time.sleep(0.05)
        with pytest.raises(InUse), exclusive(bucket / "store", "clean", wait=False):
            pass
    assert names(bucket / "store") == []


def test_a_reader_that_is_garbage_gives_its_lease_back_without_waiting(bucket, monkeypatch):
    """It may be collected while its thread holds a lock that deleting needs."""
    deleting, deleted = threading.Event(), ObjectPath.unlink

    def slow(self, **how):
        assert deleting.wait(30)
        deleted(self, **how)

    monkeypatch.setattr(ObjectPath, "unlink", slow)
    held = shared(bucket / "store")
    began = time.monotonic()
    del held
    assert time.monotonic() - began < 10
    threading.Timer(0.5, deleting.set).start()
    with exclusive(bucket / "store", "clean", wait=False):
        assert len(names(bucket / "store")) == 1  # its own
    assert names(bucket / "store") == []


def test_a_process_that_ends_leaves_no_lease(bucket):
    script = READER.split("with")[0] + "held = shared(place(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, str(bucket / "store")], check=True, timeout=60)
    assert names(bucket / "store") == []


def test_a_reader_of_another_machine_that_does_not_renew_its_lease_has_ended(bucket, monkeypatch):
    monkeypatch.setattr(locks, "STALE", 2.0)
    monkeypatch.setattr(bucket_access, "POLL", 0.2)
    store = bucket / "store"
    lease(store, "readers")
    with (
        pytest.raises(InUse, match="process 1 on elsewhere since then: read"),
        exclusive(store, "clean", wait=False),
    ):
        pass
    began = time.monotonic()
    unseal(store, "fill job 3")
    assert time.monotonic() - began > 0.5 and names(store) == []


def test_a_reader_of_this_machine_that_was_killed_has_ended_at_once(bucket):
    store = bucket / "store"
    left = lease(store, "readers", locks.socket.gethostname(), 4194305)
    unseal(store, "fill job 3")
    assert not left.exists()
    left.write_bytes(b"no JSON")
    with (
        pytest.raises(InUse, match="open in another process"),
        exclusive(store, "clean", wait=False),
    ):
        pass


def test_a_process_of_another_container_is_not_taken_for_dead(bucket, monkeypatch):
    """Its number means nothing here, although its host has the same name."""
    store = bucket / "store"
    lease(store, "readers", locks.socket.gethostname(), 4194305)
    monkeypatch.setattr(leases, "_process_table", lambda: "pid:[1]")
    with pytest.raises(InUse, match="process 4194305 on "), exclusive(store, "clean", wait=False):
        pass


def test_who_was_killed_while_unsealing_stops_no_reader_for_long(bucket, monkeypatch, capsys):
    monkeypatch.setattr(locks, "RENEWED", 0.3)
    monkeypatch.setattr(locks, "STALE", 2.0)
    lease(bucket / "store", "unsealing")
    with shared(bucket / "store"):
        assert (
            capsys.readouterr().err.count(
                "open in process 1 on elsewhere since then: read; waiting"
            )
            == 1
        )
        assert len(names(bucket / "store")) == 1


def test_a_bucket_that_may_only_be_read_is_read(bucket, monkeypatch):
    def forbidden(self, data):
        raise Forbidden(f"{self}: cannot be written")

    monkeypatch.setattr(ObjectPath, "write_bytes", forbidden)
    with shared(bucket / "store"):
        assert names(bucket / "store") == []
