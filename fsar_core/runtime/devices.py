"""Which device a job computes on, and the lease that gives a local job a GPU of its own.

Snakemake counts GPUs and never says which one a job gets. `fsar lease -n N -- COMMAND` takes N free
devices under file locks before torch starts, sets CUDA_VISIBLE_DEVICES and becomes COMMAND; the
kernel frees the locks when it ends.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fsar_core.errors import FsarError

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")

# Of the clips of one forward pass in evaluation: what a processor's cache holds, and enough to fill
# a GPU.
PASS_BYTES = {"cpu": 12 * 2**20, "cuda": 2**30}


@dataclass
class Meter:
    """Counts how much of its time a job waited for data, for the end of its log."""

    started: float = field(default_factory=lambda: time.perf_counter())
    waited: float | None = None

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Counts the seconds that are spent inside."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.waited = (self.waited or 0.0) + time.perf_counter() - before

    def waiting(self, items: Iterator[Item]) -> Iterator[Item]:
        """The same items; the seconds until each of them comes are counted."""
        while True:
            with self.wait():
                item = next(items, self)
            if item is self:
                return
            yield item

    def line(self, device: torch.device) -> str:
        """Return a line with device, machine, peak memory of a GPU and the share of time waited.

        The machine has its name in Slurm, if it has one there.
        """
        import torch

        on_gpu, given = device.type == "cuda", os.environ.get("CUDA_VISIBLE_DEVICES")
        told = f"device: {torch.cuda.get_device_name(device) if on_gpu else device}"
        told += f" on {os.environ.get('SLURMD_NODENAME') or socket.gethostname()}"
        # Given, and yet not in use: torch was built for another kind of device, or the driver is
        # too old.
        told += f", CUDA_VISIBLE_DEVICES={given}" if given else ""
        if on_gpu:
            told += f"; peak memory {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB"
        if self.waited is not None:
            total = time.perf_counter() - self.started
            told += f"; {100 * self.waited / total:.1f} % of {total:.1f} s waiting for data"
        return told


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes; none of it belongs to the run's identity.

    Attributes:
        mixed_precision: autocast, on a GPU only.
        evaluation_batch: episodes of one forward pass in evaluation; None: by the size of their
            clips.
    """

    device: torch.device
    mixed_precision: bool
    evaluation_batch: int | None
    meter: Meter = field(default_factory=Meter, compare=False)

    @property
    def half_precision(self) -> bool:
        """Whether this machine computes in mixed precision, which only GPUs do."""
        return self.mixed_precision and self.device.type == "cuda"

    def at_once(self, size: int) -> int:
        """How many episodes, or clips, of `size` bytes one forward pass of an evaluation takes."""
        return self.evaluation_batch or max(1, PASS_BYTES[self.device.type] // size)


def torch_device(name: str):
    """Return `auto`, `cpu` or `cuda` as a torch.device.

    Raises:
        FsarError: a GPU is demanded and none is visible.
    """
    import torch

    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise FsarError(
            "device: cuda is demanded in config.yaml, but torch sees no GPU; set `device: auto` or "
            "free one"
        )
    return torch.device("cuda" if present and name != "cpu" else "cpu")


def room(device: torch.device, memory_gib: float) -> float:
    """Return the bytes that data may take.

    On a GPU they are half of its free memory, else `memory_gib`.
    """
    import torch

    return torch.cuda.mem_get_info(device)[0] / 2 if device.type == "cuda" else memory_gib * 2**30


def visible_devices() -> list[str]:
    """Return the UUIDs of the GPUs that this process may use.

    In tests, FSAR_FAKE_DEVICES="a,b" stands for them.
    """
    if "FSAR_FAKE_DEVICES" in os.environ:
        found = [name for name in os.environ["FSAR_FAKE_DEVICES"].split(",") if name]
    else:
        try:
            text = subprocess.run(
                ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"],
                capture_output=True,
                text=True,
                timeout=60,
            )
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return []
        if text.returncode != 0:
            return []
        pairs = [
            [word.strip() for word in line.split(",")]
            for line in text.stdout.splitlines()
            if "," in line
        ]
        allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
        if allowed is not None:
            wanted = [word.strip() for word in allowed.split(",") if word.strip()]
            pairs = [pair for pair in pairs if pair[0] in wanted or pair[1] in wanted]
        found = [uuid for _, uuid in pairs]
    return found


def lease(count: int, command: list[str]) -> None:
    """Become `command` with `count` devices of its own; waits until they are free. Does not return.

    Inside a scheduler's job that already sees exactly `count` devices nothing is leased; without a
    GPU the command gets an empty CUDA_VISIBLE_DEVICES and runs on the CPU.
    """
    if not command:
        raise FsarError("fsar lease: no command; expected `fsar lease -n 1 -- COMMAND ...`")
    devices = visible_devices()
    scheduled = any(name in os.environ for name in ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST"))
    if count > 0 and devices and not (scheduled and len(devices) == count):
        if count > len(devices):
            raise FsarError(
                f"fsar lease: {count} devices asked, this machine has {len(devices)}; lower `gpu` "
                f"of the rule"
            )
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_take(count, devices))
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    elif not scheduled:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        raise FsarError(f"fsar lease: no command '{command[0]}' on the PATH") from None


def _take(count: int, devices: list[str]) -> list[str]:
    """All or nothing, so that two waiting jobs can never hold half of what the other needs."""
    folder = _lock_folder()
    delay = 0.05
    while True:
        held: list[tuple[str, int]] = []
        for device in devices:
            if len(held) == count:
                break
            handle = _open_lock(f"{device.replace('/', '_')}.lock", folder)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held.append((device, handle))
            except BlockingIOError:
                os.close(handle)
        if len(held) == count:
            for _, handle in held:
                os.set_inheritable(handle, True)
            os.close(folder)
            return [device for device, _ in held]
        for _, handle in held:
            os.close(handle)
        time.sleep(delay)
        delay = min(delay * 1.5, 2.0)


def _lock_folder_path() -> Path:
    return Path(
        os.environ.get("FSAR_LEASE_DIR")
        or Path(tempfile.gettempdir()) / f"fsar-lease-{os.getuid()}"
    )


def _lock_folder() -> int:
    """The folder of the device locks, opened; created where it is missing.

    In a shared temporary directory another user can create a folder of this name first, with links
    in it that lead anywhere.

    Raises:
        FsarError: it is no folder of this user's, or others can write to it.
    """
    path = _lock_folder_path()
    remedy = "remove it, or name another folder by the environment variable FSAR_LEASE_DIR"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:  # a file, a symbolic link, a folder that this user may not enter
        raise FsarError(
            f"{path}: the folder of the device locks cannot be used ({error.strerror}); {remedy}"
        ) from None
    status = os.fstat(folder)
    if status.st_uid != os.getuid():
        raise FsarError(
            f"{path}: the folder of the device locks belongs to user {status.st_uid}; {remedy}"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise FsarError(
            f"{path}: other users can write to the folder of the device locks; run "
            f"`chmod 700 {shlex.quote(str(path))}`, "
            "or name another folder by the environment variable FSAR_LEASE_DIR"
        )
    return folder


def _open_lock(name: str, folder: int) -> int:
    """Open a lock file in an opened folder; never through a symbolic link."""
    try:
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    except OSError as error:
        path = _lock_folder_path() / name
        raise FsarError(
            f"{path}: cannot be used as a device lock ({error.strerror}); remove it"
        ) from None
