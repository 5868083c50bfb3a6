"""`clean` and `repair` beside processes that read, fill and train: what is in use stays, whoever uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fsar_core.__main__ import main
from fsar_core.config import load_config, overlay, read_yaml
from fsar_core.maintenance import clean
from fsar_core.storage.locks import alone
from fsar_core.storage.places import Place
from fsar_core.study import Study
from tests.maintenance.test_clean import OLD, RUN, listed
from tests.stores.conftest import Toy, planned
from tests.stores.test_access import READER, process

# As a training does: clip by clip, from every shard again and again. The mean says that no clip was read as zeros.
TRAINING = """
import sys
import numpy as np
from fsar_core.storage.places import place
from fsar_core.stores.reader import StoreReader
reader = StoreReader(place(sys.argv[1]), "features")
print("reading", flush=True)
means = [float(np.abs(reader.read_clip(row)).mean()) for _ in range(20) for row in range(reader.clips)]
print(min(means) > 0, flush=True)
sys.stdin.readline()
print(all(reader.read_clip(row).any() for row in range(reader.clips)), flush=True)
"""


@pytest.fixture(params=["folder", "bucket"])
def study(request, project) -> Study:
    """The project's, with its stores in a folder that other projects share, or in a bucket."""
    root = str(project.path.parent / "shared")
    if request.param == "bucket":
        root = str(request.getfixturevalue("bucket") / "project")
    config = overlay(read_yaml(project.path / "config.yaml"), {"roots": {"stores": root}})
    (project.path / "config.yaml").write_text(yaml.safe_dump(config))
    return Study(load_config(config), project.path / "workflow")


@pytest.fixture
def toy(study) -> Toy:
    """A sealed store that the configuration does not use."""
    toy = planned(
        study.config.roots.stores / "features" / f"toy.demo_cnn.layer4.{OLD}", compression="none"
    )
    toy.fill().seal()
    return toy


CLEAN = ["clean", "--yes", "--min-age", "0"]


def test_a_training_beside_clean_reads_what_was_sealed(toy, capsys):
    """Two other readers come and go meanwhile; the store goes when the last one has ended."""
    with (
        process(TRAINING, toy.path) as training,
        process(READER, toy.path) as second,
        process(READER, toy.path) as third,
    ):
        assert training.stdout.readline() == "reading\n"
        assert [second.stdout.readline(), third.stdout.readline()] == ["open\n"] * 2
        second.communicate("\n", timeout=60)
        third.kill()
        third.wait()
        for _ in range(3):
            assert main(CLEAN) == 0
            out = capsys.readouterr().out
            assert listed(out) == []
            (line,) = [line for line in out.splitlines() if line.startswith("left alone ")]
            assert f"{toy.path}: in use by process {training.pid} on " in line and line.endswith(
                ": read"
            )
        assert training.stdout.readline() == "True\n"
        out, _ = training.communicate("\n", timeout=120)
        assert out == "True\n" and training.returncode == 0
    assert main(CLEAN) == 0
    assert listed(capsys.readouterr().out) == [str(toy.path)] and not toy.path.exists()


def test_a_reader_that_comes_after_the_listing_keeps_its_store(toy, study, capsys, monkeypatch):
    gone, _ = clean.unused([study], 0)
    (item,) = gone
    with process(READER, toy.path) as reader:
        assert reader.stdout.readline() == "open\n"
        monkeypatch.setattr(clean, "unused", lambda *_: (gone, []))
        assert main(CLEAN) == 0
        out = capsys.readouterr().out
        assert (
            f"left alone  {item.bytes / 2**20:8.2f} MiB  {toy.path}: in use by process {reader.pid} on "
            in out
        )
    assert (toy.path / "manifest.json").exists() and toy.shard(2).exists()


def test_a_job_that_fills_a_store_again_waits_for_training(toy):
    script = f"""
import sys
import numpy as np
from fsar_core.storage.places import place
from fsar_core.stores.layout import read_plan
from fsar_core.stores.writer import write_job
from tests.builders import array_blocks
store = place(sys.argv[1])
plan = read_plan(store)
values = np.ones((150, 2, {", ".join(map(str, toy.values.shape[2:]))}), np.float16)
write_job(store, 1, array_blocks(values, plan.rows(1)), store / "receipts/1.json")
print("filled", flush=True)
"""
    toy.receipt(1).unlink()  # otherwise the job is done
    with process(READER, toy.path) as first, process(READER, toy.path) as second:
        assert [first.stdout.readline(), second.stdout.readline()] == ["open\n"] * 2
        with process(script, toy.path) as filling:
            assert f"fsar: {toy.path} is open in process " in filling.stderr.readline()
            first.kill()
            first.wait()
            assert (toy.path / "manifest.json").exists() and toy.shard(1).exists()
            second.communicate("\n", timeout=60)
            assert filling.stdout.readline() == "filled\n"
    assert not (toy.path / "manifest.json").exists()


def test_repair_refuses_while_somebody_reads(toy, capsys):
    data = bytearray(toy.shard(1).read_bytes())
    data[9] ^= 1
    toy.shard(1).write_bytes(bytes(data))
    before = toy.manifest
    with process(READER, toy.path) as reader:
        assert reader.stdout.readline() == "open\n"
        assert main(["repair", str(toy.path)]) == 2
        err = capsys.readouterr().err
        assert (
            err.startswith(f"fsar: error: {toy.path}: open in process {reader.pid} on ")
            and err.count("\n") == 1
        )
    assert toy.manifest == before and toy.shard(1).exists() and toy.receipt(1).exists()
    assert not (toy.path / ".manifest.json.repair").exists()


# -- folders alone ------------------------------------------------------------------------------------------------------


def left_alone(out: str) -> dict[str, str]:
    lines = (
        line.split(maxsplit=5)[4:] for line in out.splitlines() if line.startswith("left alone ")
    )
    return {rest[0].rstrip(":"): rest[1] for rest in lines}


def test_what_is_being_filled_or_trained_is_left_alone(project, capsys):
    store = project.store("frames", f"demo_temporal.8x99.{OLD}")
    model = project.put(f"results/models/{RUN}/last.pt").parent
    with (
        alone(store / "locks" / "3.lock", "fill job 3"),
        alone(model / "train.lock", "train a model"),
    ):
        assert main(CLEAN) == 0
        reasons = left_alone(capsys.readouterr().out)
        assert {Path(path).name: reason.split(": ")[-1] for path, reason in reasons.items()} == {
            store.name: "fill job 3",
            model.name: "train a model",
        }
        with pytest.raises(clean.access.InUse, match="fill job 3"):
            clean.remove(clean.Item(store, 0, 0))
    assert main(CLEAN) == 0
    assert len(listed(capsys.readouterr().out)) == 2 and not store.exists() and not model.exists()


def test_reading_a_store_does_not_make_it_look_new(project, capsys):
    store = project.store("frames", f"demo_temporal.8x99.{OLD}")
    project.put(store / "locks" / "0.lock")
    stamp = store.stat().st_mtime
    with clean.access.shared(store):
        pass
    os.utime(store, (stamp, stamp))
    assert main(["clean", "--yes"]) == 0
    assert (
        listed(capsys.readouterr().out) == [store.relative_to(project.path).as_posix()]
        and not store.exists()
    )


def leftovers(project) -> list[Place]:
    """Temporary files of killed jobs of every kind, in folders and stores that are in use, and the users' own beside them."""
    study = project.study
    run = next(iter(study.experiments.runs.values()))
    store = project.store("features", run.features.key).relative_to(project.path)
    project.put(study.paths.model(run.model) / "checkpoint.pt")
    project.put(study.paths.run(run) / "summary.json")
    demo = next(study.dataset(name) for name in ("demo_temporal",)).folder
    paths = [
        store / ".manifest.json.a1b2c3d4",
        store / "receipts/.0.json.abcdefgh",
        store / "data.zarr/features/c/0/0/0/0/0/.0.a_b2c3d4",
        store / "data.zarr/features/c/0/0/0/0/0/0.0123456789abcdef.partial",
        store / "data.zarr/features/zarr.0123456789abcdef.partial",
        study.paths.model(run.model) / ".last.pt.a1b2c3_4",
        study.paths.run(run) / ".queries.csv.gz.a1b2c3d4",
        Path("results/inspections/dmgal_fig9/.x.npz.a1b2c3d4"),
        Path("weights/trained/.demo_cnn.pt.a1b2c3d4"),
        Path(f"weights/downloaded/abc/teacher.pt.{'0a' * 16}.partial"),
        demo / "videos/a/.clip_0001.mp4.1234.part",
        demo / ".split.tsv.a1b2c3d4",
    ]
    for path in paths:
        project.put(path, "x" * 100)
    for own in (
        "results/thoughts/.notes.settings",
        "weights/.mine.settings",
        "weights/mine.partial",
        "data/.card.original",
        "stores/features/.notes.settings",
        f"{store.as_posix()}/.manifest.json.repair",
    ):
        project.put(own)
    return sorted(path.as_posix() for path in paths)


def test_what_killed_jobs_left_in_what_is_used_is_removed(project, capsys):
    paths = leftovers(project)
    before = project.files()
    assert main(["clean"]) == 0
    out = capsys.readouterr().out
    assert listed(out) == paths and f"{len(paths)} unused, 0.00 MiB in {len(paths)} files" in out
    assert main(["clean", "--yes"]) == 0
    capsys.readouterr()
    assert project.files().keys() == before.keys() - set(paths)


def test_a_temporary_file_that_is_young_or_being_written_stays(project, capsys):
    folder = project.study.paths.model(next(iter(project.study.experiments.runs.values())).model)
    young = project.put(folder / ".last.pt.a1b2c3d4", age=60)
    script = f"""
import sys
from pathlib import Path
from fsar_core.storage.provenance import atomic_write
with atomic_write(Path({str(project.path / folder / "checkpoint.pt")!r})) as stream:
    print(stream.name, flush=True)
    sys.stdin.readline()
"""
    assert main(["clean", "--yes"]) == 0
    assert (
        "changed less than 1 hours ago"
        in left_alone(capsys.readouterr().out)[(folder / young.name).as_posix()]
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(clean.__file__).parents[2])},
    )  # fmt: skip
    assert child.stdout.readline()
    assert main(CLEAN) == 0
    out = capsys.readouterr().out
    assert listed(out) == [(folder / young.name).as_posix()]
    assert list(left_alone(out).values()) == ["in use by a job that is writing it"]
    child.communicate("\n", timeout=60)
    assert child.returncode == 0 and (folder / "checkpoint.pt").exists()


def test_a_lease_that_nobody_renews_is_removed_from_a_store_in_use(
    project, bucket, capsys, monkeypatch
):
    root = bucket / "project"
    config = overlay(read_yaml(project.path / "config.yaml"), {"roots": {"stores": str(root)}})
    (project.path / "config.yaml").write_text(yaml.safe_dump(config))
    study = Study(load_config(config), project.path / "workflow")
    store = study.paths.store(next(iter(study.experiments.runs.values())).features)
    for name in ("plan.json", "locks/readers/0a1b", "locks/0.lock"):
        (store / name).write_bytes(b"{}")
    assert main(CLEAN) == 0
    assert listed(capsys.readouterr().out) == []
    monkeypatch.setattr(clean, "LEASE_AGE", -60.0)
    assert main(CLEAN) == 0
    assert listed(capsys.readouterr().out) == [f"{store}/locks/readers/0a1b"]
    assert (store / "locks/0.lock").exists() and not (store / "locks/readers/0a1b").exists()
