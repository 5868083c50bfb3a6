"""The main job on Slurm, through the project's own profile: spread over the nodes, no device twice, the table of a local run."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, Stay, missing
from tests.workflow.folders import FRONT, REPOSITORY, SMOKE, Folder

TABLE = "results/tables/table2.csv"
GPU_RULES = ("train_backbone", "fill_features", "train_head", "evaluate_head")
# A cluster without accounts, on which nothing has to be waited for.
HERE = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"]
HERE += ["--seconds-between-status-checks", "2", "--latency-wait", "5", "--jobs", "6"]


@pytest.fixture(autouse=True, scope="module")
def asked_for(request):
    if "slurm" not in (request.config.option.markexpr or ""):
        pytest.skip("minutes on a cluster of its own, only where it is asked for: make test-slurm")
    if line := missing():
        pytest.skip(line)


def on(cluster: Cluster, folder: Path, *words: str) -> str:
    """Run the project's Snakefile there with profiles/slurm; returns all output."""
    command = [str(FRONT), "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    command += [
        "--configfile",
        str(SMOKE),
        "--workflow-profile",
        str(REPOSITORY / "profiles" / "slurm"),
        *HERE,
        *words,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=cluster.environment, cwd=folder, timeout=5400
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-6000:] + cluster.logs()
    return text


def holders(stays: list[Stay]) -> dict[tuple[str, str], list[Stay]]:
    """(node, GPU) -> the jobs that had it, in order."""
    found: dict[tuple[str, str], list[Stay]] = {}
    for stay in sorted(stays, key=lambda stay: stay.begin):
        for gpu in stay.gpus:
            found.setdefault((stay.node, gpu), []).append(stay)
    return found


def together(stays: list[Stay]) -> int:
    """The most jobs that were there at one moment."""
    moments = sorted([(stay.begin, 1) for stay in stays] + [(stay.end, -1) for stay in stays])
    count, most = 0, 0
    for _, change in moments:
        count += change
        most = max(most, count)
    return most


def rule_of(comment: str) -> str:
    return comment.removeprefix("rule_").split("_wildcards_")[0]


@pytest.mark.slurm
@pytest.mark.workflow
@pytest.mark.timeout(7200)
def test_the_main_job_on_two_nodes(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    for folder in (there, here):
        folder.mkdir()
    with Cluster(nodes=2, gpus=4) as cluster:
        on(cluster, there, "--", TABLE)
        stays, comments = cluster.stays(), cluster.comments()
    jobs = {stay.job: rule_of(comments[stay.job]) for stay in stays}
    on_gpu = [stay for stay in stays if stay.gpus]

    # Every job that computes was one of Slurm's; those on a GPU, and no others, had exactly one.
    assert {stay.job for stay in on_gpu} == {job for job, rule in jobs.items() if rule in GPU_RULES}
    assert set(GPU_RULES) <= set(jobs.values()) and {"fill_frames", "table"} <= set(jobs.values())
    assert [list(jobs.values()).count(rule) for rule in ("train_head", "evaluate_head")] == [24, 24]
    assert all(len(stay.gpus) == 1 and stay.end is not None for stay in on_gpu)

    # Both nodes, several devices at once, none of them twice at a time.
    assert {stay.node for stay in on_gpu} == {"node1", "node2"}
    devices = holders(on_gpu)
    assert all(
        len({gpu for name, gpu in devices if name == node}) >= 2 for node in ("node1", "node2")
    )
    assert together(on_gpu) >= 4
    for had in devices.values():
        assert all(before.end <= after.begin for before, after in pairwise(had))

    # The lease left what Slurm had given: every job says the device that the node had noted for it.
    told = sorted(
        line.split(";")[0]
        for log in (there / "results/logs").rglob("*.log")
        for line in log.read_text().splitlines()
        if line.startswith("device: ")
    )
    assert told == sorted(
        f"device: cpu on {stay.node}, CUDA_VISIBLE_DEVICES={stay.gpus[0]}" for stay in on_gpu
    )

    Folder(here).ok("--", TABLE)
    for ending in ("csv", "md", "tex", "left_out.csv"):
        name = f"results/tables/dmgal_table2.{ending}"
        assert (there / name).read_bytes() == (here / name).read_bytes(), ending
    assert (there / TABLE).read_bytes() == (here / TABLE).read_bytes()
