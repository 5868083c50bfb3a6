"""Valid files in the wrong place: each is refused with one line before a number is made of it, or changes none.

Every file keeps its own checksums; only what it belongs to is wrong. tests/hostile/test_swapped.py has the
messages verb by verb; here a finished run is attacked, with what lies in it and with files of its own specs
that were made from other inputs.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fsar_core.data.index import read_index, write_index
from fsar_core.episodes import tables
from fsar_core.errors import FsarError
from fsar_core.storage import checkpoint
from fsar_core.stores.layout import FILE_CLIPS
from tests.faults.tally import FOUND, HARMLESS, LOST, Tally
from tests.faults.test_corruption import (
    ARRAYS,
    STORES,
    drawn,
    evaluated,
    rows_of,
    sealed,
    shards,
    tabled,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

FAULT = "a valid file in the wrong place"
Read = Callable[[], Any]


@pytest.fixture(scope="module")
def swaps(ledger) -> Iterator[Tally]:
    tally = Tally()
    yield tally
    tally.report(ledger)


@contextmanager
def replaced(path: Path, data: bytes) -> Iterator[None]:
    """Other bytes in the place of a file, whose time stamp stays; the old ones afterwards."""
    before, stat = path.read_bytes(), path.stat()
    try:
        path.write_bytes(data)
        _set_time(path, stat)
        yield
    finally:
        path.write_bytes(before)
        _set_time(path, stat)


def _set_time(path: Path, stat) -> None:
    import os

    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def swap(tally: Tally, kind: str, path: Path, data: bytes, read: Read) -> None:
    """Put `data` in the place of a file and read; anything but one line or the same result fails."""
    whole = read()
    assert data != path.read_bytes(), f"{kind}: the two files are equal"
    with replaced(path, data):
        outcome, told = _outcome(read, whole)
    tally.add(f"{FAULT}: {kind}", outcome)
    assert read() == whole
    assert outcome != LOST, f"{kind}, {path.name}: {told}"


def _outcome(read: Read, whole: Any) -> tuple[str, str]:
    try:
        return (HARMLESS, "") if read() == whole else (LOST, "another result")
    except FsarError as error:
        return (FOUND if "\n" not in str(error) else LOST), str(error)
    except Exception as error:  # a traceback where one line was due
        return LOST, repr(error)


@pytest.mark.parametrize("kind", STORES)
def test_shards_of_other_rows(project, swaps, kind):
    spec = STORES[kind](project)
    store = project.store(spec)
    files = shards(store, kind)
    last = len(files) - 1
    for first, second in ((0, 1), (1, 0), (0, last), (last, 0)):
        path = files[first]
        row = int(path.relative_to(store / "data.zarr" / ARRAYS[kind] / "c").parts[0]) * FILE_CLIPS
        read = partial(rows_of, store, spec, range(row, row + FILE_CLIPS))
        if first != second and files[first].read_bytes() != files[second].read_bytes():
            swap(swaps, f"shards, {kind}", path, files[second].read_bytes(), read)


def test_shards_of_equal_size(small, swaps):
    """Of an uncompressed store, whose files have the same size and checksums of their own."""
    features = small.study().features("mine")
    store = small.path / small.study().paths.store(features)
    files = shards(store, "features")
    assert files[0].stat().st_size == files[1].stat().st_size
    for first, second in ((0, 1), (1, 0)):
        read = partial(
            rows_of, store, features, range(first * FILE_CLIPS, (first + 1) * FILE_CLIPS)
        )
        swap(swaps, "shards of equal size", files[first], files[second].read_bytes(), read)


@pytest.mark.parametrize("name", ["manifest.json", "data.zarr/zarr.json", "data.zarr/{}/zarr.json"])
def test_parts_of_another_store(project, swaps, name):
    stores = {kind: (spec(project), project.store(spec(project))) for kind, spec in STORES.items()}
    for kind, (spec, store) in stores.items():
        for other, (_, others) in stores.items():
            path, data = (
                store / name.format(ARRAYS[kind]),
                (others / name.format(ARRAYS[other])).read_bytes(),
            )
            if other != kind and data != path.read_bytes():
                swap(
                    swaps,
                    "part of another store",
                    path,
                    data,
                    partial(rows_of, store, spec, range(10)),
                )


def test_receipts_and_plans(project, swaps, tmp_path):
    frames, features = (
        project.store(project.run.features.frames),
        project.store(project.run.features),
    )
    copy = tmp_path / "store"
    shutil.copytree(features, copy)
    receipts = sorted((copy / "receipts").glob("*.json"))
    assert len(receipts) > 1
    for first, second in ((0, 1), (1, 0)):
        swap(
            swaps, "receipts", receipts[first], receipts[second].read_bytes(), partial(sealed, copy)
        )
    others = (frames / "receipts" / receipts[0].name).read_bytes()
    swap(swaps, "receipts", receipts[0], others, partial(sealed, copy))
    swap(
        swaps,
        "plans",
        copy / "plan.json",
        (frames / "plan.json").read_bytes(),
        partial(sealed, copy),
    )


def test_clip_index(project, swaps, tmp_path):
    """One of the same rows, two of which have exchanged their clips."""
    index = read_index(project.index)
    rows = index.index[index.split == "test"][[0, -1]]
    other = index.copy()
    for column in ("path", "file"):
        other.loc[rows, column] = index.loc[rows[::-1], column].to_numpy()
    write_index(tmp_path / "other.tsv", other)
    read = partial(drawn, project, tmp_path / "episodes.npz")
    swap(swaps, "clip index", project.index, (tmp_path / "other.tsv").read_bytes(), read)


def test_episodes(project, swaps, tmp_path):
    """Those of the validation, and some of the same spec that were drawn from another index."""
    read = partial(evaluated, project, tmp_path / "out")
    validation = project.path / project.study.paths.episodes(project.run.validation)
    swap(swaps, "episodes", project.episodes, validation.read_bytes(), read)
    table = tables.load(project.episodes)
    other = dataclasses.replace(
        table, support=table.support[::-1], query=table.query[::-1], index="0" * 64
    )
    tables.save(tmp_path / "other.npz", other)
    swap(swaps, "episodes", project.episodes, (tmp_path / "other.npz").read_bytes(), read)


def test_checkpoints(project, swaps, tmp_path):
    """That of another model, and one of the same spec that was trained on other features."""
    read = partial(evaluated, project, tmp_path / "out")
    for run in (project.plain, project.masked):
        other = project.path / project.study.paths.model(run.model) / "checkpoint.pt"
        swap(swaps, "checkpoints", project.model, other.read_bytes(), read)
    value = checkpoint.load(project.model)
    value["model"] = {name: tensor + 0.1 for name, tensor in value["model"].items()}
    value["inputs"] = {**value["inputs"], "features": "0" * 64}
    checkpoint.save(tmp_path / "other.pt", value)
    swap(swaps, "checkpoints", project.model, (tmp_path / "other.pt").read_bytes(), read)


def test_classifier(project, swaps, tmp_path):
    spec = project.study.specs.saliency("demo_temporal").classifier
    path = project.path / project.study.paths.classifier(spec)

    def read() -> list:
        return [
            part.numpy().tobytes() for part in checkpoint.load(path, spec.digest)["model"].values()
        ]

    value = checkpoint.load(path)
    checkpoint.save(tmp_path / "other.pt", {**value, "run": "0" * len(value["run"])})
    swap(swaps, "classifiers", path, (tmp_path / "other.pt").read_bytes(), read)
    swap(swaps, "classifiers", path, project.model.read_bytes(), read)


def test_results(project, swaps, tmp_path):
    """Of one run in the folder of another: both files, and each of them alone."""
    runs = tmp_path / "runs"
    ids = [project.plain.run_id, project.run.run_id]
    for run in (project.plain, project.run):
        shutil.copytree(project.path / project.study.paths.run(run), runs / run.run_id)
    read = partial(tabled, project, runs, tmp_path / "t_table1")
    for mine, other in (ids, ids[::-1]):
        summary, queries = runs / mine / "summary.json", runs / mine / "queries.csv.gz"
        for path in (summary, queries):
            swap(swaps, "results", path, (runs / other / path.name).read_bytes(), read)
        with replaced(queries, (runs / other / queries.name).read_bytes()):
            outcome, told = _outcome(
                partial(_with, summary, (runs / other / summary.name).read_bytes(), read), None
            )
        swaps.add(f"{FAULT}: results", outcome)
        assert outcome == FOUND, told


def _with(path: Path, data: bytes, read: Read) -> Any:
    with replaced(path, data):
        return read()


def test_weights_of_another_training(project, swaps, tmp_path):
    """A weights file of the same shapes. Who extracts features with it is told; see also tests/hostile."""
    from fsar_core.models import backbone_weights
    from tests.faults.test_corruption import filled

    state = torch.load(project.weights, weights_only=True)
    other = {
        name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()
    }
    backbone_weights.save(tmp_path / "other.pt", other, training="0" * 12)
    read = partial(filled, project, tmp_path)
    swap(swaps, "weights", project.weights, (tmp_path / "other.pt").read_bytes(), read)


def test_readers_agree_after_all(project):
    """Everything was put back."""
    store = project.store(project.run.features)
    assert rows_of(store, project.run.features, range(3)) == rows_of(
        store, project.run.features, range(3)
    )
    assert np.load(project.episodes)["support"].size
