"""Jobs of one and two devices that Snakemake starts at once, by the line with which the rules lease theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.runtime.test_devices import free
from tests.workflow.test_rule_texts import WORKING, command

pytestmark = pytest.mark.workflow

LEASE = "python -m fsar_core lease -n {resources.gpu} -- "
DEVICES = ("GPU-a", "GPU-b", "GPU-c", "GPU-d")
COUNTS = (1, 2, 1, 1, 2, 1, 2, 1, 1, 2, 1, 1)
KILLED = 4  # a job of two devices that SIGKILL ends in its first attempt

SNAKEFILE = f"""
rule all:
    input:
        expand("{{job}}.span", job=range({len(COUNTS)})),

rule compute:
    output:
        "{{job}}.span",
    resources:
        gpu=lambda wildcards: {COUNTS}[int(wildcards.job)],
    shell:
        "{LEASE}sh compute.sh {{wildcards.job}} {{output}}"
"""
COMPUTE = f"""
from=$(date +%s%N)
sleep 0.3
if [ "$1" = {KILLED} ] && [ ! -e killed.span ]; then
    echo "$CUDA_VISIBLE_DEVICES $from $(date +%s%N)" > killed.span
    kill -9 $$
fi
echo "$CUDA_VISIBLE_DEVICES $from $(date +%s%N)" > "$2"
"""


def test_it_is_the_line_of_the_rules():
    leased = [
        rule.name for rule in WORKING.values() if "gpu=" in rule.directives.get("resources", "")
    ]
    assert "train_head" in leased and all(
        command(WORKING[name]).startswith(LEASE) for name in leased
    )


@pytest.mark.parametrize(
    "limit", [[], ["--resources", f"gpu={len(DEVICES)}", "--"]], ids=["no limit", "gpu=4"]
)
def test_no_device_is_held_twice(tmp_path, limit):
    """Without a limit Snakemake starts all twelve at once, for sixteen devices that are four; a killed job's two are free again
    for those that wait, and for its next attempt."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "compute.sh").write_text(COMPUTE)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "KUBERNETES_"))
    }
    environment |= {
        "FSAR_FAKE_DEVICES": ",".join(DEVICES),
        "FSAR_LEASE_DIR": str(tmp_path / "locks"),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    words = [
        "-m",
        "snakemake",
        "--cores",
        "16",
        "--retries",
        "1",
        "--scheduler",
        "greedy",
        *limit,
        "all",
    ]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    spans = []
    for job, count in [*enumerate(COUNTS), ("killed", COUNTS[KILLED])]:
        names, start, end = (tmp_path / f"{job}.span").read_text().split()
        held = names.split(",")
        assert len(held) == len(set(held)) == count and set(held) <= set(DEVICES)
        spans += [(device, int(start), int(end)) for device in held]
    for device in DEVICES:
        times = sorted((start, end) for name, start, end in spans if name == device)
        assert times, f"{device} was never used"
        assert all(end <= start for (_, end), (start, _) in pairwise(times))
        assert free(tmp_path / "locks" / f"{device}.lock")
