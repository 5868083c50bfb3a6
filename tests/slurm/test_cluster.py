"""What is said where no cluster can be brought up."""

from __future__ import annotations

import subprocess
import sys

from tests.slurm import cluster
from tests.workflow.folders import REPOSITORY

LINE = f"no Slurm to test with (slurmctld, slurmd not found); on Debian: {cluster.INSTALL}"


def test_what_is_missing_is_one_line_and_what_to_do(monkeypatch):
    absent = {"slurmctld", "slurmd"}
    monkeypatch.setattr(
        cluster, "_program", lambda name: None if name in absent else f"/usr/bin/{name}"
    )
    assert cluster.missing() == LINE
    absent.clear()
    assert cluster.missing() is None


def test_as_a_command_it_is_status_2():
    """With a search for programs that finds none."""
    code = "import runpy, shutil; shutil.which = lambda *a, **k: None\n"
    code += "runpy.run_module('tests.slurm.cluster', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"no Slurm to test with ({', '.join(cluster.PROGRAMS)} not found); on Debian: {cluster.INSTALL}\n"
    )
