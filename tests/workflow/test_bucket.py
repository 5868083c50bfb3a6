"""The workflow with its stores in a bucket: built, trained and tested from there, killed on the way, damaged, mended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fsar_core.__main__ import main
from fsar_core.config import load_config, overlay
from fsar_core.errors import FsarError
from fsar_core.evaluation.results import read_summary
from fsar_core.maintenance import verify
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import MARK
from fsar_core.stores.reader import StoreReader
from fsar_core.study import Study
from tests.buckets import new_bucket
from tests.workflow.folders import FRONT, REPOSITORY, Folder, smoke_config

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.timeout(900)]

TABLE = "results/tables/i2st_table9.csv"  # two trainings, six tests; frames, features and masks


@pytest.fixture(scope="module")
def root(s3_address) -> Iterator[ObjectPath]:
    """Where the stores lie."""
    with pytest.MonkeyPatch.context() as environment:
        yield new_bucket(s3_address, environment) / "project" / "stores"


@pytest.fixture(scope="module")
def project(smoke, root, tmp_path_factory) -> tuple[Folder, Path]:
    """A folder with the videos of the toy run, and its configuration."""
    folder = Folder(tmp_path_factory.mktemp("bucket"))
    roots = {"roots": {"stores": str(root), "data": str(smoke.path / "data")}}
    config = folder.path / "config.yaml"
    config.write_text(yaml.safe_dump(overlay(smoke_config(), roots)))
    return folder, config


@pytest.fixture(scope="module")
def study(project) -> Study:
    return Study(load_config(project[1]), REPOSITORY / "workflow")


def _receipts(root: ObjectPath) -> list[str]:
    return [held.path.key for held in root.objects() if held.path.parent.name == "receipts"]


def _stores(study: Study) -> list[ObjectPath]:
    found = [path for path in verify.everything(study.config.roots) if isinstance(path, ObjectPath)]
    return [path for path in found if path.parent.name != "index"]


def _command(folder: Folder, config: Path, *words: str) -> list[str]:
    fixed = ["--snakefile", REPOSITORY / "Snakefile", "--directory", folder.path, "--cores", 2]
    fixed += [
        "--configfile",
        config,
        "--workflow-profile",
        REPOSITORY / "profiles" / "default",
        "--",
        *words,
    ]
    return [str(word) for word in (FRONT, *fixed)]


def test_killed_while_it_fills_a_store(project, study, root):
    """What is there by then is sound, and no store passes for whole that is not."""
    folder, config = project
    with open(folder.path / "killed.log", "wb") as log:
        process = subprocess.Popen(
            _command(folder, config, TABLE),
            stdout=log,
            stderr=log,
            cwd=folder.path,
            start_new_session=True,
        )
    until = time.monotonic() + 300
    while "(Rule: fill_frames)" not in (said := (folder.path / "killed.log").read_text()):
        assert process.poll() is None and time.monotonic() < until, said[-4000:]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert _stores(study)
    for store in _stores(study):
        found = verify.check(store)
        assert found.faults == [] and "not finished" in found.note
        with pytest.raises(FsarError, match="the store is not complete"):
            StoreReader(store, store.parent.name)


@pytest.fixture(scope="module")
def local(smoke, tmp_path_factory) -> Folder:
    """The same table, made of stores in a folder. The shared one stays as it is."""
    folder = Folder(tmp_path_factory.mktemp("local"))
    shutil.copytree(
        smoke.path, folder.path, ignore=shutil.ignore_patterns(".snakemake"), dirs_exist_ok=True
    )
    folder.ok("--", TABLE)
    return folder


def test_the_table_is_that_of_stores_in_a_folder(project, study, root, local):
    folder, config = project
    before = {
        held.path: held.changed for held in root.objects() if held.path.key in _receipts(root)
    }
    folder.ok("--", TABLE, config=config)
    # What snakemake knew to be done when it was killed was not done again.
    assert before.items() & {held.path: held.changed for held in root.objects()}.items()
    for ending in ("csv", "md", "tex", "left_out.csv"):
        name = TABLE.removesuffix("csv") + ending
        assert (folder.path / name).read_text() == (local.path / name).read_text()
    for store in _stores(study):
        in_folder = local.path / "stores" / store.below(root)
        assert (
            verify.stores.read_manifest(store)["content"]
            == verify.stores.read_manifest(in_folder)["content"]
        )
    assert {store.parent.name for store in _stores(study)} == {"frames", "features", "masks"}


def test_snakemake_moves_nothing_of_a_store(project, root):
    folder, _ = project
    copies = [
        path for path in (folder.path / ".snakemake" / "storage").rglob("*") if path.is_file()
    ]
    assert copies == [] and not (folder.path / "stores").exists()
    names = {held.path.below(root).split("/")[0] for held in root.objects()}
    assert names == {"index", "frames", "features", "masks", MARK}
    assert not [held.path for held in root.objects() if "/locks/" in held.path.key]


def test_a_second_run_has_nothing_to_do(project):
    folder, config = project
    assert "Nothing to be done" in folder.ok("--", TABLE, config=config)


def test_verify_status_clean_and_look_read_the_bucket(project, study, root, monkeypatch, capsys):
    folder, config = project
    monkeypatch.chdir(folder.path)
    assert main(["verify", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert (
        told.count(": sound") == int(told.splitlines()[-1].split()[0])
        and f"{root}/features/" in told
    )
    workflow = ["--config", str(config), "--workflow", str(REPOSITORY / "workflow")]
    assert main(["status", *workflow, "i2st_table9"]) == 0
    assert "i2st_table9        done" in capsys.readouterr().out
    masks = study.specs.masks_of("demo_temporal")
    places = {"masks": study.paths.store(masks), "frames": study.paths.store(masks.frames)}
    places |= {"index": study.paths.index("demo_temporal"), "out": folder.path / "look"}
    assert (
        main(
            ["look", *(word for name, path in places.items() for word in (f"--{name}", str(path)))]
        )
        == 0
    )
    assert (folder.path / "look.png").stat().st_size > 1000
    gone = root / "frames" / "demo_temporal.8x99.0123456789ab"
    (gone / "plan.json").write_bytes(b"{}")
    (root / "frames" / "notes.txt").write_bytes(b"mine")
    held = {one.path for one in root.objects()}
    assert main(["clean", *workflow, "--min-age", "0", "--yes"]) == 0
    assert f"{gone}\n" in capsys.readouterr().out
    assert held - {one.path for one in root.objects()} == {gone / "plan.json"}
    (root / "frames" / "notes.txt").unlink()


def test_damage_is_told_and_mended(project, study, root, monkeypatch, capfd, local):
    folder, config = project
    monkeypatch.chdir(folder.path)
    run = study.experiments.cells("i2st_table9")[0].run
    store = study.paths.store(run.tested_on)
    shards = [held.path for held in (store / "data.zarr" / "features" / "c").objects()]
    before = {shard: shard.read_bytes() for shard in shards}
    for shard, data in before.items():
        changed = bytearray(data)
        for position in range(0, len(data) - 2000, 50):  # something of every clip
            changed[position] ^= 1
        shard.write_bytes(bytes(changed))
    summary = study.paths.run(run) / "summary.json"
    (folder.path / summary).unlink()
    done = folder.snakemake("--", str(summary), config=config)
    assert done.returncode == 2
    told = done.stderr.splitlines()[-1]
    assert told.startswith(f"fsar: error: {store}: array 'features' row ") and told.endswith(
        f"`fsar repair {store}`"
    )
    capfd.readouterr()
    options = _command(folder, config)[1:-1]
    assert main(["repair", str(store), "--", *options]) == 0
    told = capfd.readouterr().out
    assert f"{store}: mended; a bucket keeps no old time stamps" in told
    assert before and {shard: shard.read_bytes() for shard in shards} == before
    folder.ok("--", str(summary), config=config)
    results = [read_summary((where.path / summary).parent)["accuracy"] for where in (folder, local)]
    assert results[0] == results[1]


def test_a_bucket_that_is_not_there_is_one_line(project, root, tmp_path):
    folder, config = project
    other = tmp_path / "other.yaml"
    whole = overlay(
        yaml.safe_load(config.read_text()), {"roots": {"stores": "s3://no-such-bucket/stores"}}
    )
    other.write_text(yaml.safe_dump(whole))
    done = folder.snakemake("-n", "--", TABLE, config=other)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("fsar: error: ")]
    assert len(set(lines)) == 1 and "there is no bucket 'no-such-bucket'" in lines[0]
