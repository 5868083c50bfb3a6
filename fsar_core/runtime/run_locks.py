"""Signed Snakemake locks: lock files name their process, and locks of dead runs are removed.

Snakemake locks files of a working directory by lists in `.snakemake/locks`. A killed run leaves its
lists behind, and nothing in them tells whether the run still lives. The workflow therefore calls
`sign_locks` while Snakemake reads it: from then on that process writes its identity into the first
line of its lock files. Before a run takes its locks, it removes those that are there if every one
of them was signed by a process that has provably ended. In every other case nothing is touched:
Snakemake's message appears, followed by who holds the locks.

Locks of other workflows are never signed, so they are never removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fsar_core.storage.locks import alone

# Begins the first line of a lock file; no path of the workflow begins like this.
SIGNATURE = "# fsar holder: "
LONGEST_COMMAND = 500  # characters; the signature must fit into the first block that is written
PROC = Path("/proc")
MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock file.

    Attributes:
        host: name of the machine.
        machine: its machine-id, empty where it has none.
        boot: identifies the time since the machine was started.
        namespace: of the process id, which means nothing in another container.
        pid: process id.
        started: when the process started, in clock ticks since the machine did.
        since: local time at which the lock was taken, for people.
        command: the command line, for people.
    """

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    started: int
    since: str
    command: str

    @classmethod
    def this_process(cls) -> Holder | None:
        """The running process; None where the operating system has no /proc to identify it by."""
        try:
            return cls(
                host=socket.gethostname(),
                machine=MACHINE_ID.read_text().strip() if MACHINE_ID.is_file() else "",
                boot=(PROC / "sys/kernel/random/boot_id").read_text().strip(),
                namespace=os.readlink(PROC / "self/ns/pid"),
                pid=os.getpid(),
                started=_state_and_start(os.getpid())[1],
                since=time.strftime("%F %T"),
                command=" ".join(["snakemake", *sys.argv[1:]])[:LONGEST_COMMAND],
            )
        except OSError:
            return None

    @classmethod
    def parse(cls, line: str) -> Holder | None:
        """The holder that the first line of a lock file names; None for any other line."""
        if not line.startswith(SIGNATURE):
            return None
        try:
            holder = cls(**json.loads(line.removeprefix(SIGNATURE)))
        except (ValueError, TypeError, RecursionError):
            return None
        well_formed = (
            isinstance(holder.pid, int)
            and 0 < holder.pid < 2**31
            and isinstance(holder.started, int)
        )
        return holder if well_formed else None

    @property
    def signature(self) -> str:
        return SIGNATURE + json.dumps(asdict(self))

    def is_dead(self) -> bool:
        """Whether the process has provably ended. False for whatever cannot be known from here."""
        here = Holder.this_process()
        if here is None or self.host != here.host or self.machine != here.machine:
            return False
        if (
            self.boot != here.boot
        ):  # the machine was restarted, unless it only has the name of another one
            return self.machine != ""
        if self.namespace != here.namespace:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it exists and belongs to another user
            pass
        try:
            state, started = _state_and_start(self.pid)
        except OSError:  # /proc may hide processes of other users
            return False
        return started != self.started or state in "ZX"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}: {self.command}"


def _state_and_start(pid: int) -> tuple[str, int]:
    """State letter and start time, in clock ticks since the machine was started, of a process."""
    fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[19])


def read_holders(folder: Path) -> dict[Path, Holder | None]:
    """Return the holder of each lock file of a folder; None if a file does not say.

    Empty files lock nothing and are left out.
    """
    holders = {}
    for path in sorted(Path(folder).glob("*")):
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                first = stream.readline()
        except FileNotFoundError:  # released in the meantime
            continue
        except OSError:
            first = "unreadable"
        if first:
            holders[path] = Holder.parse(first)
    return holders


def free_dead_locks(folder: Path) -> None:
    """Remove all lock files of a folder if each belongs to a dead run; otherwise remove none."""
    if not _all_dead(read_holders(folder)):
        return
    with alone(folder.parent / "fsar.lock", "removing the locks of dead runs"):
        holders = read_holders(
            folder
        )  # another run may have removed them, and have locked files itself
        if not _all_dead(holders):
            return
        for path in holders:
            path.unlink(missing_ok=True)
    for holder in sorted(set(map(str, holders.values()))):
        print(
            f"fsar: {folder.parent.parent}: removed the locks of a killed run ({holder})",
            file=sys.stderr,
        )


def _all_dead(holders: dict[Path, Holder | None]) -> bool:
    return bool(holders) and all(
        holder is not None and holder.is_dead() for holder in holders.values()
    )


def explain(folder: Path) -> None:
    """Say on standard error who holds the locks of a folder."""
    holders = read_holders(folder)
    project = folder.parent.parent
    for holder in sorted({str(holder) for holder in holders.values() if holder is not None}):
        print(f"fsar: {project} is locked by {holder}", file=sys.stderr)
    if None in holders.values():
        print(
            f"fsar: {project} has locks that do not name their holder: of another workflow, or of "
            "an earlier version of fsar; if no snakemake works there any more, run "
            "`snakemake --unlock` there, then this command again",
            file=sys.stderr,
        )


class SignedLocks:
    """What Snakemake's `FilePersistence` does differently for this workflow (see `sign_locks`)."""

    _takes_locks = False

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Take the locks of a run, after removing those of dead ones."""
        from snakemake.exceptions import LockException

        folder = Path(self._lockdir).absolute()
        free_dead_locks(folder)
        self._takes_locks = True
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(super().lock())
            except LockException:
                explain(folder)
                raise
            yield

    def _write_locks(self, lock_type: str, keys: Iterable[str]) -> None:
        """Write a lock file whose first line names this process.

        Snakemake takes that line for a path that nobody makes.
        """
        paths = list(keys)
        holder = Holder.this_process()
        if paths and holder is not None:
            paths.insert(0, holder.signature)
        os.makedirs(self._lockdir, exist_ok=True)  # another run that ended may have removed it
        super()._write_locks(lock_type, paths)

    def _delete_locks(self) -> None:
        """Remove this run's lock files.

        Snakemake would remove those of all other runs as well, which is right for --unlock only.
        """
        if not self._takes_locks:
            super()._delete_locks()
            return
        for path in self._lockfile.values():
            Path(path).unlink(missing_ok=True)
        self._lockfile.clear()
        with contextlib.suppress(OSError):  # not empty: other runs hold locks
            os.rmdir(self._lockdir)


def sign_locks() -> None:
    """Make this Snakemake process sign the lock files that it writes.

    Versions of Snakemake that keep locks differently are left alone: there nothing is signed, hence
    nothing removed.
    """
    from snakemake import workflow

    plain = getattr(workflow, "FilePersistence", None)
    needed = ("lock", "_write_locks", "_delete_locks")
    if (
        plain is None
        or issubclass(plain, SignedLocks)
        or not all(hasattr(plain, name) for name in needed)
    ):
        return
    workflow.FilePersistence = type("SignedFilePersistence", (SignedLocks, plain), {})
