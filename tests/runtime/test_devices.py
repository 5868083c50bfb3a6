"""The lease: no device twice at a time, freed by the kernel, out of the way inside a scheduler's job."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from fsar_core.errors import FsarError
from fsar_core.runtime import devices
from fsar_core.runtime.devices import Meter, torch_device, visible_devices

DEVICES = ("GPU-a", "GPU-b", "GPU-c")
SAY = ["sh", "-c", 'echo "${CUDA_VISIBLE_DEVICES-unset} ${CUDA_DEVICE_ORDER-unset}"']


@pytest.fixture
def leasing(tmp_path):
    """leasing(count, command, **variables) starts `fsar lease` among three fake devices, outside any scheduler."""
    started = []
    kept = {
        name: value
        for name, value in os.environ.items()
        if name
        not in (
            "SLURM_JOB_ID",
            "KUBERNETES_SERVICE_HOST",
            "CUDA_VISIBLE_DEVICES",
            "CUDA_DEVICE_ORDER",
        )
    }

    def start(count, command, **variables):
        fake = {"FSAR_FAKE_DEVICES": ",".join(DEVICES), "FSAR_LEASE_DIR": str(tmp_path / "locks")}
        process = subprocess.Popen(
            [sys.executable, "-m", "fsar_core", "lease", "-n", str(count), "--", *command],
            env=kept | fake | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def free(lock: Path) -> bool:
    """Whether nobody holds a device's lock now."""
    with open(lock, "a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_twelve_jobs_never_share_a_device(leasing, tmp_path):
    """One- and two-device jobs at once on three devices; each notes its devices and when it had them."""
    note = 'from=$(date +%s%N); sleep 0.12; echo "$CUDA_VISIBLE_DEVICES $from $(date +%s%N)"'
    counts = [1, 2, 1, 1, 2, 1, 2, 1, 1, 2, 1, 1]
    jobs = [leasing(count, ["sh", "-c", note]) for count in counts]
    spans = []
    for count, job in zip(counts, jobs):
        out, err = job.communicate(timeout=60)
        assert (job.returncode, err) == (0, "")
        names, start, end = out.split()
        held = names.split(",")
        assert len(held) == len(set(held)) == count
        assert set(held) <= set(DEVICES)
        spans += [(device, int(start), int(end)) for device in held]
    assert len(spans) == sum(counts)
    for device in DEVICES:
        times = sorted((start, end) for name, start, end in spans if name == device)
        assert times, f"{device} was never used"
        assert all(end <= start for (_, end), (start, _) in pairwise(times))
    assert all(free(tmp_path / "locks" / f"{device}.lock") for device in DEVICES)


def test_a_killed_holder_frees_its_device_at_once(leasing, tmp_path):
    lock = tmp_path / "locks" / "GPU-a.lock"
    holder = leasing(1, ["sleep", "60"], FSAR_FAKE_DEVICES="GPU-a")
    wait_for(lambda: lock.exists() and not free(lock))
    waiting = leasing(1, SAY, FSAR_FAKE_DEVICES="GPU-a")
    time.sleep(0.5)
    assert waiting.poll() is None
    waiting.kill()
    waiting.wait()
    holder.kill()
    holder.wait()
    assert free(lock)
    assert (
        leasing(1, SAY, FSAR_FAKE_DEVICES="GPU-a").communicate(timeout=30)[0]
        == "GPU-a PCI_BUS_ID\n"
    )


def test_who_waits_gets_the_devices_of_a_killed_holder(leasing, tmp_path):
    locks = [tmp_path / "locks" / f"{device}.lock" for device in DEVICES]
    holder = leasing(3, ["sleep", "60"])
    wait_for(lambda: all(lock.exists() and not free(lock) for lock in locks))
    waiting = [leasing(count, SAY) for count in (2, 1)]
    time.sleep(0.5)
    assert [job.poll() for job in waiting] == [None, None]
    holder.kill()
    killed = time.monotonic()
    two, one = (job.communicate(timeout=30)[0].split()[0].split(",") for job in waiting)
    # Who waits looks again every two seconds at least; the rest is what a slow machine takes.
    assert time.monotonic() - killed < 10
    assert (len(two), len(one)) == (2, 1) and {*two, *one} <= set(DEVICES)
    assert all(map(free, locks))


def test_a_job_that_waits_for_two_holds_none(leasing, tmp_path):
    locks = [tmp_path / "locks" / f"{device}.lock" for device in ("GPU-a", "GPU-b")]
    holder = leasing(1, ["sleep", "60"], FSAR_FAKE_DEVICES="GPU-a,GPU-b")
    wait_for(lambda: locks[0].exists() and not free(locks[0]))
    waiting = leasing(2, SAY, FSAR_FAKE_DEVICES="GPU-a,GPU-b")
    time.sleep(0.4)
    assert (
        leasing(1, SAY, FSAR_FAKE_DEVICES="GPU-a,GPU-b").communicate(timeout=30)[0]
        == "GPU-b PCI_BUS_ID\n"
    )
    assert waiting.poll() is None
    holder.kill()
    assert waiting.communicate(timeout=30)[0] == "GPU-a,GPU-b PCI_BUS_ID\n"


def test_the_command_is_what_ran(leasing):
    """The lease becomes the command: its exit status, its standard streams, its process id."""
    job = leasing(1, ["sh", "-c", "echo $$; echo told >&2; exit 7"])
    out, err = job.communicate(timeout=30)
    assert (job.returncode, out, err) == (7, f"{job.pid}\n", "told\n")


def test_words_reach_the_command_untouched(leasing):
    out, _ = leasing(0, ["printf", "%s|", "a b", "--", "-n", "$X", "*"]).communicate(timeout=30)
    assert out == "a b|--|-n|$X|*|"


@pytest.mark.parametrize(
    ("count", "command", "line"),
    [
        (
            4,
            ["true"],
            "fsar: error: fsar lease: 4 devices asked, this machine has 3; lower `gpu` of the rule\n",
        ),
        (1, [], "fsar: error: fsar lease: no command; expected `fsar lease -n 1 -- COMMAND ...`\n"),
        (
            1,
            ["no-such-command"],
            "fsar: error: fsar lease: no command 'no-such-command' on the PATH\n",
        ),
    ],
)
def test_mistakes_are_one_line(leasing, count, command, line):
    job = leasing(count, command)
    assert job.communicate(timeout=30) == ("", line)
    assert job.returncode == 2


def refused(leasing, folder: Path) -> str:
    """What `fsar lease` says of a folder of locks that it does not use."""
    job = leasing(1, ["true"], FSAR_LEASE_DIR=str(folder))
    out, err = job.communicate(timeout=30)
    assert (job.returncode, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"fsar: error: {folder}")
    return err


def test_the_folder_of_the_locks_is_private(leasing, tmp_path):
    assert leasing(1, ["true"]).wait(30) == 0
    assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "locks" / "GPU-a.lock").stat().st_mode & 0o777 == 0o600


def test_the_usual_folder_is_named_by_the_user(leasing, tmp_path):
    assert leasing(1, ["true"], FSAR_LEASE_DIR="", TMPDIR=str(tmp_path)).wait(30) == 0
    assert (tmp_path / f"fsar-lease-{os.getuid()}" / "GPU-a.lock").exists()


def test_a_link_in_place_of_a_lock_creates_nothing(leasing, tmp_path):
    (tmp_path / "locks").mkdir(mode=0o700)
    (tmp_path / "locks" / "GPU-a.lock").symlink_to(tmp_path / "elsewhere")
    assert "cannot be used as a device lock" in refused(leasing, tmp_path / "locks")
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_in_place_of_the_folder_is_not_followed(leasing, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert "cannot be used (" in refused(leasing, tmp_path / "link")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert "cannot be used (" in refused(leasing, tmp_path / "dangling")
    (tmp_path / "file").touch()
    assert "cannot be used (" in refused(leasing, tmp_path / "file")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777], ids=oct)
def test_a_folder_that_others_can_write_to_is_refused(leasing, tmp_path, mode):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks").chmod(mode)
    assert "other users can write to the folder" in refused(leasing, tmp_path / "locks")
    assert list((tmp_path / "locks").iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_refused(leasing, tmp_path):
    (tmp_path / "locks").mkdir(mode=0o700)
    os.chown(tmp_path / "locks", 12345, -1)
    assert "belongs to user 12345" in refused(leasing, tmp_path / "locks")
    assert list((tmp_path / "locks").iterdir()) == []


@pytest.mark.parametrize(
    ("count", "variables", "said"),
    [
        # No GPU: the command runs on the CPU, and so it does where none is asked for.
        (1, {"FSAR_FAKE_DEVICES": ""}, " unset"),
        (2, {"FSAR_FAKE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "0"}, " unset"),
        (0, {}, " unset"),
        # A scheduler has already chosen: every job of a cgroup calls its device 0.
        (
            2,
            {"SLURM_JOB_ID": "1", "FSAR_FAKE_DEVICES": "a,b", "CUDA_VISIBLE_DEVICES": "0,1"},
            "0,1 unset",
        ),
        (1, {"KUBERNETES_SERVICE_HOST": "h", "FSAR_FAKE_DEVICES": "a"}, "unset unset"),
        (1, {"SLURM_JOB_ID": "1", "FSAR_FAKE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "0"}, "0 unset"),
    ],
)
def test_nothing_is_leased(leasing, tmp_path, count, variables, said):
    assert leasing(count, SAY, **variables).communicate(timeout=30) == (f"{said}\n", "")
    assert not (tmp_path / "locks").exists()


def test_a_scheduled_job_with_more_devices_than_it_asks_for_leases(leasing, tmp_path):
    out, _ = leasing(1, SAY, SLURM_JOB_ID="1", FSAR_FAKE_DEVICES="a,b").communicate(timeout=30)
    assert out == "a PCI_BUS_ID\n"
    assert (tmp_path / "locks" / "a.lock").exists()


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """nvidia_smi(text, status) puts a program of that name first on the PATH."""
    monkeypatch.delenv("FSAR_FAKE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def write(text, status=0):
        program = tmp_path / "nvidia-smi"
        program.write_text(
            f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n", encoding="utf-8"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return write


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["GPU-x", "GPU-y", "GPU-z"]),
        ("", []),
        ("2,0", ["GPU-x", "GPU-z"]),
        (" GPU-y ", ["GPU-y"]),
        ("7", []),
    ],
)
def test_devices_of_the_driver(nvidia_smi, monkeypatch, visible, found):
    nvidia_smi("0, GPU-x\n1, GPU-y\n2, GPU-z")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_devices() == found


def test_a_driver_that_fails_has_no_devices(nvidia_smi):
    nvidia_smi("Failed to initialize NVML, 0, GPU-x", status=9)
    assert visible_devices() == []


def test_without_a_driver_there_are_no_devices(monkeypatch, tmp_path):
    monkeypatch.delenv("FSAR_FAKE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_devices() == []


@pytest.mark.parametrize(
    ("name", "present", "kind"),
    [
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_torch_device(monkeypatch, name, present, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)
    assert torch_device(name) == torch.device(kind)


def test_a_demanded_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        FsarError, match=r"device: cuda is demanded in config\.yaml, but torch sees no GPU"
    ):
        torch_device("cuda")


def test_locks_are_private_to_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("FSAR_LEASE_DIR", str(tmp_path / "locks"))
    assert devices._take(2, ["a/b", "c", "d"]) == ["a/b", "c"]
    assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(tmp_path / "locks")) == ["a_b.lock", "c.lock"]
    assert not free(tmp_path / "locks" / "c.lock")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until its only element is raised."""
    now = [50.0]
    monkeypatch.setattr(devices.time, "perf_counter", lambda: now[0])
    for name in ("SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(devices.socket, "gethostname", lambda: "here")
    return now


def test_waiting_is_the_time_until_an_item_comes(clock):
    meter = Meter()

    def items():
        for number in range(3):
            clock[0] += 1.0
            yield number
        clock[0] += 0.5

    for _ in meter.waiting(items()):
        clock[0] += 10.0
    with pytest.raises(KeyError), meter.wait():
        clock[0] += 0.5
        raise KeyError
    assert meter.waited == 4.0
    assert (
        meter.line(torch.device("cpu")) == "device: cpu on here; 11.8 % of 34.0 s waiting for data"
    )


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "device: cpu on here"),
        ({"CUDA_VISIBLE_DEVICES": ""}, "device: cpu on here"),
        ({"CUDA_VISIBLE_DEVICES": "2"}, "device: cpu on here, CUDA_VISIBLE_DEVICES=2"),
        (
            {"SLURMD_NODENAME": "node7", "CUDA_VISIBLE_DEVICES": "0"},
            "device: cpu on node7, CUDA_VISIBLE_DEVICES=0",
        ),
    ],
)
def test_what_a_log_says_of_the_device(clock, monkeypatch, variables, said):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Meter().line(torch.device("cpu")) == said


def test_what_a_log_says_of_a_gpu(clock, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-x")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**29)
    said = Meter(waited=0.0, started=40.0).line(torch.device("cuda"))
    expected = "device: NVIDIA H100 on here, CUDA_VISIBLE_DEVICES=GPU-x; peak memory 1.50 GiB; 0.0 % of 10.0 s waiting for data"
    assert said == expected
