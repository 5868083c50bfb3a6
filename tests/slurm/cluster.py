"""A throw-away Slurm cluster on this machine: nodes with fake GPUs, no system service, nothing outside a folder of its own.

`python -m tests.slurm.cluster` says whether one can be brought up here: status 2 and what to install where it cannot.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scancel")
INSTALL = "apt-get install --no-install-recommends munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins"


def missing() -> str | None:
    """One line on what a cluster needs and this machine has not; None where all is there."""
    absent = [name for name in PROGRAMS if _program(name) is None]
    return (
        f"no Slurm to test with ({', '.join(absent)} not found); on Debian: {INSTALL}"
        if absent
        else None
    )


def _program(name: str) -> str | None:
    # Daemons lie in sbin, which is not on everybody's PATH.
    return shutil.which(
        name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    )


@dataclass(frozen=True)
class Stay:
    """A job's time on a node, by the node's own record; `gpus` are indices, `end` is None while it runs."""

    job: str
    node: str
    gpus: tuple[str, ...]
    begin: float
    end: float | None


class Cluster:
    """`with Cluster() as cluster:` brings it up, and down again with all its jobs.

    What speaks to it needs `cluster.environment`. Slurm's clients find the cluster by SLURM_CONF; the plugin for job steps
    takes that from the `srun` that it starts, so a program of that name comes first on the PATH and sets it again.
    """

    def __init__(self, nodes: int = 2, cpus: int = 4, gpus: int = 4, mem_mb: int = 32000) -> None:
        """cpus, gpus, mem_mb: what each node claims to have."""
        self.nodes, self.cpus, self.gpus, self.mem_mb = (
            [f"node{i + 1}" for i in range(nodes)],
            cpus,
            gpus,
            mem_mb,
        )
        self._daemons: list[subprocess.Popen] = []

    def __enter__(self) -> Cluster:
        # Short, because of the limit on the names of sockets.
        self.folder = Path(tempfile.mkdtemp(prefix="fsar-slurm-"))
        self.folder.chmod(0o755)
        self.environment = os.environ | {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": os.pathsep.join(
                (str(self.folder / "bin"), os.environ["PATH"], "/usr/sbin", "/sbin")
            ),
        }
        try:
            self._write()
            key, talk = self.folder / "munge.key", self.folder / "munge.socket"
            self._start(
                "munged",
                "--foreground",
                "--force",
                f"--key-file={key}",
                f"--socket={talk}",
                *self._of_munge(),
            )
            self._wait(talk.exists, "munged")
            self._start("slurmctld", "-D", "-c")
            for node in self.nodes:
                self._start("slurmd", "-D", "-N", node)
            self._wait(lambda: self._idle() == self.nodes, "the nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if len(self._daemons) > 1:
            subprocess.run(
                ["scancel", "--user", _user()], env=self.environment, capture_output=True
            )
            deadline = time.monotonic() + 20
            while (
                self.ask("squeue", "-h", "-t", "running,completing") and time.monotonic() < deadline
            ):
                time.sleep(0.2)
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *command: str) -> list[str]:
        """The lines that a client of Slurm prints."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True
        ).stdout.splitlines()

    def stays(self) -> list[Stay]:
        """Every job that a node has begun, in that order."""
        found: dict[str, Stay] = {}
        for line in (self.folder / "record").read_text().splitlines():
            what, job, node, gpus, moment = line.split("|")
            begin = float(moment) if what == "begin" else found[job].begin
            end = float(moment) if what == "end" else None
            found[job] = Stay(
                job, node, tuple(word for word in gpus.split(",") if word), begin, end
            )
        return list(found.values())

    def comments(self) -> dict[str, str]:
        """Job -> the comment with which it was submitted; finished jobs are remembered."""
        return dict(
            line.split("|", 1) for line in self.ask("squeue", "-h", "-t", "all", "-o", "%i|%k")
        )

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "\n".join(
            f"== {path.name}\n{path.read_text()[-2000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )

    def _of_munge(self) -> list[str]:
        return [
            f"--{name}={self.folder / f'munge.{name}'}"
            for name in ("pid-file", "log-file", "seed-file")
        ]

    def _start(self, program: str, *words: str) -> None:
        with open(self.folder / f"{program}.{len(self._daemons)}.log", "w") as log:
            command = [_program(program) or program, *words]
            self._daemons.append(
                subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
            )

    def _wait(self, condition, what: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or any(
                daemon.poll() is not None for daemon in self._daemons
            ):
                raise RuntimeError(f"a Slurm cluster: {what} did not come up\n{self.logs()}")
            time.sleep(0.1)

    def _idle(self) -> list[str]:
        return sorted(set(self.ask("sinfo", "-h", "-N", "-t", "idle", "-o", "%N")))

    def _write(self) -> None:
        folder = self.folder
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        for name in ("bin", "state", "gpus", *self.nodes):
            (folder / name).mkdir()
        # slurmd takes a device for a GPU; the number at the end is its index.
        for index in range(self.gpus):
            (folder / "gpus" / f"nvidia{index}").symlink_to(os.devnull)
        for what in ("begin", "end"):
            note = f'echo "{what}|$SLURM_JOB_ID|$SLURMD_NODENAME|$SLURM_JOB_GPUS|$(date +%s.%N)" >> {folder}/record'
            _script(folder / what, note)
        srun = f'SLURM_CONF={folder}/slurm.conf exec {_program("srun")} "$@"'
        _script(folder / "bin" / "srun", srun)
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        (folder / "gres.conf").write_text(
            f"AutoDetect=off\nNodeName={','.join(self.nodes)} Name=gpu File={folder}/gpus/nvidia[0-{self.gpus - 1}]\n"
        )
        (folder / "slurm.conf").write_text(self._slurm_conf())

    def _slurm_conf(self) -> str:
        folder, host, user = self.folder, socket.gethostname().split(".")[0], _user()
        control, *ports = _free_ports(1 + len(self.nodes))
        settings = {
            "ClusterName": "throwaway",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": control,
            "SlurmUser": user,
            "SlurmdUser": user,
            "AuthType": "auth/munge",
            "CredType": "cred/munge",
            "AuthInfo": f"socket={folder}/munge.socket",
            "StateSaveLocation": f"{folder}/state",
            "SlurmdSpoolDir": f"{folder}/%n",
            "SlurmctldPidFile": f"{folder}/slurmctld.pid",
            "SlurmdPidFile": f"{folder}/slurmd.%n.pid",
            # Neither cgroups nor accounts: an ordinary process each.
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "AccountingStorageType": "accounting_storage/none",
            "MpiDefault": "none",
            # Cores, memory and GPUs are what is shared out, as many as the nodes claim to have.
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "SlurmdParameters": "config_overrides",
            "GresTypes": "gpu",
            # The nodes' own record of who has which device.
            "Prolog": folder / "begin",
            "Epilog": folder / "end",
            "SchedulerParameters": "batch_sched_delay=0,bf_interval=1,sched_interval=2",
            "ReturnToService": 2,
            "MinJobAge": 86400,
            "KillWait": 5,
            # A machine that is busy with the jobs is no broken node.
            "MessageTimeout": 60,
            "BatchStartTimeout": 300,
            "SlurmdTimeout": 600,
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        for node, port in zip(self.nodes, ports):
            lines.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} Boards=1 SocketsPerBoard=1"
                f" CoresPerSocket={self.cpus} ThreadsPerCore=1 CPUs={self.cpus} RealMemory={self.mem_mb}"
                f" Gres=gpu:{self.gpus}"
            )
        lines.append(
            f"PartitionName=all Nodes={','.join(self.nodes)} Default=YES MaxTime=INFINITE State=UP"
        )
        return "\n".join(lines) + "\n"


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


if __name__ == "__main__":
    if line := missing():
        print(line, file=sys.stderr)
        sys.exit(2)
