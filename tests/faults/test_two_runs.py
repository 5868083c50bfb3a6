"""Two runs at once, in one folder and over one folder of stores. They make the main job's stores; its trainings share nothing."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.faults import small as small_project
from tests.faults.jobs import kill
from tests.faults.runs import TABLE, Project

pytestmark = pytest.mark.faults


def feature_stores(project: Project) -> list[str]:
    """Manifests of the main job's feature stores, below a project's folder."""
    return [
        str(path.relative_to(project.path))
        for path in project.path.glob("stores/features/*/manifest.json")
    ]


@pytest.mark.timeout(1800)
def test_in_one_folder(tmp_path, small, ledger):
    """The second is refused and told who works there; the first does not notice, and the second finds its work done."""
    project = small_project.project(tmp_path / "project", small.source)
    second = dataclasses.replace(project, log=tmp_path / "second.log")
    stores = feature_stores(small)
    first = project.start(*stores)
    project.until_planned(first)
    status, said = second.run(*stores)
    assert first.poll() is None, "the first had ended before the second was refused"
    assert status != 0 and "LockException" in said
    assert f"fsar: {project.path} is locked by process {first.pid} on " in said
    assert first.wait(1200) == 0, project.said[-6000:]
    assert "Nothing to be done" in second.ok(*stores)
    ledger.add("two runs in one folder", 1, note="the second was refused")


def sharing(folder: Path, small: Project) -> tuple[Project, Project]:
    """Two projects without results over one folder of videos, stores and weights, in which nothing is made yet."""
    shared = {name: str(folder / name) for name in ("data", "stores", "weights")}
    shutil.copytree(small.path / "data", shared["data"])
    settings = ("--config", f"roots={json.dumps(shared)}")
    first, second = (
        Project(folder / name, settings, configs=(), source=small.source)
        for name in ("first", "second")
    )
    return first, second


@pytest.mark.timeout(1800)
def test_over_one_folder_of_stores(tmp_path, small, ledger):
    """Both start from nothing and plan to make everything: a shard job is done by one of them, and what is made is what one run
    alone makes."""
    projects = sharing(tmp_path, small)
    running = [
        project.start(*(str(tmp_path / name) for name in feature_stores(small)))
        for project in projects
    ]
    for project, process in zip(projects, running):
        assert process.wait(1200) == 0, project.said[-6000:]
    texts = "".join(project.job_logs() for project in projects)
    receipts = list((tmp_path / "stores").glob("*/*/receipts/*.json"))
    assert (
        texts.count(" clips in ")
        == texts.count("already done from the same inputs")
        == len(receipts)
        > 0
    )
    lost = small.differences(Project(tmp_path), ("stores/", "weights/"))
    assert [name for name in Project(tmp_path).outcome() if name.startswith("stores/features/")]
    note = f"{texts.count('; waiting for it')} jobs waited for the other run's"
    ledger.add("two runs over one folder of stores", 1, wrong=len(lost), note=note)
    assert not lost


@pytest.mark.timeout(1800)
def test_one_of_two_is_killed(tmp_path, small, ledger):
    """Over one folder of stores, again and again at random moments: the other run finishes, and so does the killed one."""
    shared = {name: str(tmp_path / name) for name in ("data", "stores", "weights")}
    shutil.copytree(small.path / "data", shared["data"])
    settings = ("--config", f"roots={json.dumps(shared)}")
    killed, other = (
        Project(tmp_path / name, settings, configs=(), source=small.source)
        for name in ("first", "second")
    )
    chance, kills = random.Random("one of two"), 0
    running = other.start(TABLE)
    while running.poll() is None and kills < 3:
        process = killed.start(TABLE)
        killed.until_planned(process)
        time.sleep(chance.uniform(0, 15))
        kills += process.poll() is None
        kill(process)
    assert running.wait(1200) == 0, other.said[-6000:]
    killed.ok(TABLE)
    lost = Project(tmp_path).differences(small, ("stores/", "weights/"))
    lost += [
        name for project in (killed, other) for name in project.differences(small, ("results/",))
    ]
    for project in (killed, other):
        assert "Nothing to be done" in project.ok(TABLE)
    ledger.add("one of two runs over one folder of stores killed", kills, wrong=len(lost))
    assert kills and not lost
