"""`verify` and `clean` where the stores lie in a bucket."""

from __future__ import annotations

import pytest
import yaml

from fsar_core.__main__ import main
from fsar_core.config import load_config, overlay, read_yaml
from fsar_core.maintenance import clean
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import check_usable
from fsar_core.study import Study
from tests.stores.conftest import planned

OLD = "0123456789ab"


@pytest.fixture
def root(bucket) -> ObjectPath:
    return bucket / "project"


@pytest.fixture
def study(project, root) -> Study:
    """The project's, with its stores in the bucket."""
    config = overlay(read_yaml(project.path / "config.yaml"), {"roots": {"stores": str(root)}})
    (project.path / "config.yaml").write_text(yaml.safe_dump(config))
    return Study(load_config(config), project.path / "workflow")


def put(store: ObjectPath, dataset: str) -> None:
    """The objects of a finished store; what is in them does not matter here."""
    for name in (
        "data.zarr/zarr.json",
        "data.zarr/a/zarr.json",
        "data.zarr/a/c/0/0/0",
        "receipts/0.json",
        "manifest.json",
    ):
        (store / name).write_bytes(b"x" * 100)
    (store / "plan.json").write_bytes(b'{"spec": {"dataset": "%s"}}' % dataset.encode())


def names(root: ObjectPath) -> set[str]:
    return {held.path.below(root) for held in root.objects()}


@pytest.fixture
def used(study, root) -> set[str]:
    run = next(run for run in study.experiments.runs.values() if run.masks is not None)
    for spec in (run.features, run.features.frames, run.masks):
        put(study.paths.store(spec), "demo_temporal")
    study.paths.index("demo_temporal").write_bytes(b"x")
    check_usable(root)
    for own in (
        "notes.txt",
        "frames/notes.txt",
        f"frames/demo_temporal.8x72.{OLD}/notes.txt",
        "index/mine.tsv",
    ):
        (root / own).write_bytes(b"x")
    (root / f"frames/other.8x72.{OLD}" / "plan.json").write_bytes(
        b'{"spec": {"dataset": "demo_temporal"}}'
    )
    return names(root)


def test_what_is_not_used_goes_and_the_rest_stays(study, root, used, capsys):
    put(root / "frames" / f"demo_temporal.8x99.{OLD}", "demo_temporal")
    put(root / "features" / f"gone.resnet50.layer4.{OLD}", "gone")
    (root / "index" / f"gone.{OLD}.tsv").write_bytes(b"x" * 50)
    assert main(["clean", "--yes", "--min-age", "0"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in out if line.startswith("unused ")] == [
        f"{root}/features/gone.resnet50.layer4.{OLD}",
        f"{root}/frames/demo_temporal.8x99.{OLD}",
        f"{root}/index/gone.{OLD}.tsv",
    ]
    assert names(root) == used
    reasons = {line.split(maxsplit=4)[4] for line in out if line.startswith("left alone ")}
    assert reasons == {
        f"{root}/frames/notes.txt: not a name that fsar gives",
        f"{root}/frames/demo_temporal.8x72.{OLD}: holds 'notes.txt', which fsar did not make",
        f"{root}/frames/other.8x72.{OLD}: its plan is of 'demo_temporal'",
    }
    assert out[-1] == "removed" and out[-2].startswith("3 unused, 0.00 MiB in 13 files")


def test_what_is_young_is_left_alone(study, root, used, capsys):
    put(root / "frames" / f"demo_temporal.8x99.{OLD}", "demo_temporal")
    before = names(root)
    assert main(["clean", "--yes"]) == 0
    assert "changed less than 1 hours ago" in capsys.readouterr().out and names(root) == before


def test_the_seal_goes_first(study, root, monkeypatch):
    """A clean-up that is stopped leaves no store that passes for whole, and the next one takes the rest."""
    store = root / "frames" / f"demo_temporal.8x99.{OLD}"
    put(store, "demo_temporal")
    ((item,), _) = clean.unused([study], 0)
    calls, original = [], clean.remove_objects

    def stopped(paths):
        calls.append(paths)
        if len(calls) == 2:
            raise KeyboardInterrupt
        original(paths)

    monkeypatch.setattr(clean, "remove_objects", stopped)
    with pytest.raises(KeyboardInterrupt):
        clean.remove(item)
    assert "manifest.json" not in names(store) and len(names(store)) == 5
    monkeypatch.setattr(clean, "remove_objects", original)
    ((item,), _) = clean.unused([study], 0)
    clean.remove(item)
    assert names(store) == set()


def test_every_byte_is_checked(study, root, capsys):
    store = root / "features" / f"toy.demo_cnn.layer4.{OLD}"
    planned(store).fill().seal()
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{store}: sound", "1 checked, none damaged"]
    shard = store / "data.zarr/features/c/1/0/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    for words in ([], [str(store)], [str(shard)]):
        assert main(["verify", *words]) == 2
        out, told = capsys.readouterr()
        assert out.splitlines() == [
            f"{store}: job 1: data.zarr/features/c/1/0/0/0/0/0: bytes differ from the receipt's sha256"
        ]
        assert told == f"fsar: error: 1 of 1 checked are damaged; mend with `fsar repair {store}`\n"
    assert main(["verify", str(root / "nothing")]) == 2
    assert f"{root}/nothing: nothing to check" in capsys.readouterr().err
