"""Single bytes of a finished project change or go missing: each is found before a number is made of it, or changes none.

    python -m pytest tests/faults/test_corruption.py

A toy-size run is made once. Then in every kind of file bits are flipped, bytes replaced or taken out or sectors zeroed, at
random places, one at a time, and whatever reads the file next is run, mostly the verb that the workflow would run. Counted is
what came of it: found (one line that names the file or the store and the command that mends it), without effect (exactly the
same result: blanks of a JSON file, unused bytes of a zip file), or lost (anything else: another number, a traceback).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fsar_core.__main__ import main
from fsar_core.components.registry import build
from fsar_core.errors import FsarError
from fsar_core.evaluation import arrays
from fsar_core.storage import checkpoint
from fsar_core.storage.provenance import read_json
from fsar_core.stores.layout import FILE_CLIPS
from fsar_core.stores.reader import StoreReader
from tests.faults.finished import Project
from tests.faults.tally import FOUND, HARMLESS, LOST, Tally
from tests.workflow.folders import REPOSITORY

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

# How many tries a fault gets; FSAR_FAULTS=0.1 for a quick look, more for a long one.
SCALE = float(os.environ.get("FSAR_FAULTS", "1"))
SEED = 20240229
SECTOR = 512  # bytes


@pytest.fixture(scope="session")
def tally(ledger):
    """Lines of the table of all faults, when all is done."""
    made = Tally()
    yield made
    made.report(ledger)


# -- the faults --------------------------------------------------------------------------------------------------------


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """One bit flipped, one byte replaced, one byte less, or a sector of zeros, at a random place."""
    at, kind = int(random.integers(len(data))), int(random.integers(4))
    if kind == 3:
        at -= at % SECTOR
        return data[:at] + bytes(len(data[at : at + SECTOR])) + data[at + SECTOR :]
    other = (
        bytes([data[at] ^ (1 << int(random.integers(8)))]),
        bytes([int(random.integers(256))]),
        b"",
    )
    return data[:at] + other[kind] + data[at + 1 :]


def attack(
    tally: Tally,
    fault: str,
    paths: list[Path],
    read: Callable[[], Any],
    tries: int,
    names: list[str],
    seed: int = SEED,
) -> None:
    """Damage one of `paths` at a time and read; every outcome is counted, and a loss fails the test.

    Args:
        fault: its line of the table, a comma, and what tells it from others of that line.
        read: gives something to compare, or raises FsarError.
        names: what the message must name; `{file}` stands for the damaged file's path.
    """
    random, whole = np.random.default_rng([seed, *fault.encode()]), read()
    losses = []
    for number in range(max(1, round(tries * SCALE))):
        path = paths[number % len(paths)]
        before, stat = path.read_bytes(), path.stat()
        changed = damaged(before, random)
        if changed == before:
            continue
        path.write_bytes(changed)
        try:
            found = read()
            outcome = HARMLESS if found == whole else LOST
            told = "another result"
        except FsarError as error:
            told = str(error)
            wanted = [name.format(file=path) for name in names]
            outcome = FOUND if all(name in told for name in wanted) and "\n" not in told else LOST
        except Exception as error:  # a traceback where one line was due
            outcome, told = LOST, repr(error)
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        tally.add(fault.partition(", ")[0], outcome)
        if outcome == LOST:
            losses.append(f"{path.name}, try {number}: {told}")
    assert read() == whole  # what was put back is what was there
    assert not losses, "\n".join(losses[:10])


# -- the readers -------------------------------------------------------------------------------------------------------


def verb(*words: object, **options: object) -> None:
    """A verb of the command line, in this process. FsarError with what it said where it ended with status 2."""
    said = io.StringIO()
    flat = [
        str(part)
        for key, value in options.items()
        for part in (f"--{key.replace('_', '-')}", value)
    ]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main([str(word) for word in words] + flat)
    if status:
        lines = [line for line in said.getvalue().splitlines() if line.startswith("fsar: error: ")]
        raise FsarError(lines[-1].removeprefix("fsar: error: "))


def evaluated(project: Project, out: Path) -> tuple:
    """Every query of the test, and the summary."""
    shutil.rmtree(out, ignore_errors=True)
    verb(
        "evaluate",
        spec=project.run.json_text,
        features=project.store(project.run.features),
        episodes=project.episodes,
        checkpoint=project.model,
        weights=project.weights,
        queries=out / "queries.csv.gz",
        summary=out / "summary.json",
    )
    return (out / "queries.csv.gz").read_bytes(), (out / "summary.json").read_bytes()


def filled(project: Project, scratch: Path) -> dict:
    """The first job of the feature store, made from the frames: sums of its shard files."""
    spec, store = project.run.features, scratch / "features"
    shutil.rmtree(store, ignore_errors=True)
    ignored = shutil.ignore_patterns("manifest.json", "receipts", "c")
    shutil.copytree(project.store(spec), store, ignore=ignored)
    verb(
        "fill",
        spec=spec.json_text,
        store=store,
        index=project.index,
        job=0,
        receipt=store / "receipts" / "0.json",
        frames=project.store(spec.frames),
        weights=project.weights,
        batch_clips=64,
    )
    return read_json(store / "receipts" / "0.json", "")["files"]


def sealed(store: Path) -> bytes:
    """Seal a store anew."""
    (store / "manifest.json").unlink(missing_ok=True)
    verb("seal", store=store, max_failures=0.0)
    return (store / "manifest.json").read_bytes()


def drawn(project: Project, out: Path) -> bytes:
    out.unlink(missing_ok=True)
    frames = project.store(project.run.features.frames)
    verb(
        "draw-episodes",
        spec=project.run.test.json_text,
        index=project.index,
        frames=frames,
        out=out,
    )
    return out.read_bytes()


def tabled(project: Project, runs: Path, out: Path) -> bytes:
    """The CSV of a table of two rows, one compared to the other."""
    rows = [
        {"method": "plain", "head": {"name": "identity"}, "matching": {"name": "otam"}},
        {
            "method": "ours",
            "head": {"name": "dmgal"},
            "matching": {"name": "otam"},
            "compare_to": "plain",
        },
    ]
    table = {
        "title": "t",
        "where": "w",
        "backbone": "b",
        "datasets": ["ssv2_small"],
        "shots": [1],
        "rows": rows,
    }
    cells = [
        [method, "demo_temporal", "1shot", spec.run_id]
        for method, spec in (("plain", project.plain), ("ours", project.run))
    ]
    spec = {"table": table, "behind": {"ssv2_small": "demo_temporal"}, "cells": cells, "way": 5}
    verb("table", name="t_table1", spec=json.dumps(spec), runs=runs, out=out)
    return out.with_suffix(".csv").read_bytes() + out.with_suffix(".md").read_bytes()


def rows_of(store: Path, spec, rows: range) -> bytes:
    """Some clips of a store, every view, as trainings and tests are given them."""
    reader = StoreReader(store, ARRAYS[spec.kind], spec)
    wanted = np.array([row for row in rows if row < reader.clips and row not in reader.failed])
    return b"".join(reader.read(wanted, view).tobytes() for view in range(reader.views))


def shards(store: Path, kind: str) -> list[Path]:
    return sorted(
        path for path in (store / "data.zarr" / ARRAYS[kind] / "c").rglob("*") if path.is_file()
    )


STORES = {
    "frames": lambda project: project.run.features.frames,
    "features": lambda project: project.run.features,
    "masks": lambda project: project.masked.masks,
    "saliency": lambda project: project.study.specs.saliency("demo_temporal"),
}
ARRAYS = {"frames": "frames", "features": "features", "masks": "masks", "saliency": "actionness"}


# -- the tests ---------------------------------------------------------------------------------------------------------


def test_a_loss_would_be_seen(tmp_path):
    """A file without a checksum, read as it is, and one whose error says nothing."""
    path, counted = tmp_path / "numbers.txt", Tally()
    path.write_text("1 2 3 4 5 6 7 8 9")
    with pytest.raises(AssertionError, match="another result"):
        attack(counted, "unprotected", [path], path.read_bytes, 40, [])

    def silent() -> bytes:
        if path.read_text(errors="replace") != "1 2 3 4 5 6 7 8 9":
            raise FsarError("something is wrong")
        return path.read_bytes()

    with pytest.raises(AssertionError, match="something is wrong"):
        attack(counted, "without a remedy", [path], silent, 40, ["`fsar repair "])
    assert all(outcomes[LOST] == outcomes.total() > 30 for outcomes in counted.counts.values())


@pytest.mark.parametrize("kind", STORES)
def test_shards(project, tally, kind):
    """Every byte of a shard file counts, except where the file has room that nothing fills."""
    spec = STORES[kind](project)
    store = project.store(spec)
    for number, path in enumerate(shards(store, kind)[:3]):
        key = path.relative_to(store).as_posix()
        row = int(path.relative_to(store / "data.zarr" / ARRAYS[kind] / "c").parts[0]) * FILE_CLIPS
        names = [str(store), ARRAYS[kind], key, f"`fsar repair {store}`"]
        read = partial(rows_of, store, spec, range(row, row + FILE_CLIPS))
        attack(tally, f"a byte of a shard file, {kind}", [path], read, 60, names, SEED + number)


def test_features_at_a_test(project, tally, tmp_path):
    store = project.store(project.run.features)
    names = [str(store), f"`fsar repair {store}`"]
    attack(
        tally,
        "a byte of a shard file, at the test",
        shards(store, "features"),
        partial(evaluated, project, tmp_path),
        30,
        names,
    )


def test_frames_at_a_feature_job(project, tally, tmp_path):
    store = project.store(project.run.features.frames)
    files = [
        *shards(store, "frames")[:3],
        store / "manifest.json",
        store / "data.zarr/frames/zarr.json",
        project.index,
    ]
    names = ["`fsar repair "]
    attack(
        tally,
        "a byte of a shard file, at a feature job",
        files,
        partial(filled, project, tmp_path),
        30,
        names,
    )


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize(
    "file", ["manifest.json", "data.zarr/zarr.json", "data.zarr/{array}/zarr.json"]
)
def test_what_says_how_a_store_is_read(project, tally, kind, file):
    spec = STORES[kind](project)
    store, file = project.store(spec), file.format(array=ARRAYS[kind])
    what, tries = (
        ("a byte of a manifest", 200)
        if file == "manifest.json"
        else ("a byte of Zarr's metadata", 100)
    )
    read = partial(rows_of, store, spec, range(10))
    attack(
        tally,
        f"{what}, {kind}",
        [store / file],
        read,
        tries,
        [str(store), "`fsar repair "],
        SEED + len(file),
    )


@pytest.mark.parametrize("kind", STORES)
def test_plans_and_receipts(project, tally, kind, tmp_path):
    spec = STORES[kind](project)
    shutil.copytree(project.store(spec), tmp_path / "store")
    files = [
        tmp_path / "store" / "plan.json",
        *sorted((tmp_path / "store" / "receipts").glob("*.json")),
    ]
    attack(
        tally,
        f"a byte of a plan or receipt, {kind}",
        files,
        partial(sealed, tmp_path / "store"),
        200,
        ["{file}", "`fsar repair "],
    )


def test_the_clip_index(project, tally, tmp_path):
    read = partial(drawn, project, tmp_path / "episodes.npz")
    attack(tally, "a byte of a clip index", [project.index], read, 300, ["{file}", "`fsar repair "])


def test_episode_tables(project, tally, tmp_path):
    names = ["{file}", "`fsar repair "]
    attack(
        tally,
        "a byte of an episode table",
        [project.episodes],
        partial(evaluated, project, tmp_path),
        80,
        names,
    )


def test_checkpoints_at_a_test(project, tally, tmp_path):
    attack(
        tally,
        "a byte of a checkpoint, at the test",
        [project.model],
        partial(evaluated, project, tmp_path),
        80,
        ["{file}", "`fsar repair "],
    )


def test_a_state_to_go_on_from(project, tally, tmp_path):
    """last.pt of a training that was interrupted: like a checkpoint, but with the optimizer's state."""
    value = checkpoint.load(project.model)
    state = {key: torch.randn(20) for key in ("a", "b")}
    last = tmp_path / "last.pt"
    checkpoint.save(
        last, {**value, "step": 3, "optimizer": {"state": state}, "history": [{"loss": 0.5}]}
    )

    def read() -> list:
        found = checkpoint.load(last, project.run.model.digest)
        return [
            str(found["history"]),
            found["step"],
            *(part.tolist() for part in found["optimizer"]["state"].values()),
        ]

    attack(
        tally,
        "a byte of a checkpoint, to go on from",
        [last],
        read,
        300,
        ["{file}", "`fsar repair "],
    )


def test_a_classifier_of_frames(project, tally):
    spec = project.study.specs.saliency("demo_temporal").classifier
    path = project.path / project.study.paths.classifier(spec)

    def read() -> list:
        return [
            part.numpy().tobytes() for part in checkpoint.load(path, spec.digest)["model"].values()
        ]

    attack(
        tally,
        "a byte of trained weights, classifier",
        [path],
        read,
        150,
        ["{file}", "`fsar repair "],
    )


def test_weights_of_a_backbone(project, tally):
    params = project.run.features.backbone.params

    def read() -> list:
        state = build("backbones", "demo_cnn", weights=project.weights, **params).state_dict()
        return [part.numpy().tobytes() for part in state.values()]

    attack(tally, "a byte of trained weights, backbone", [project.weights], read, 150, ["{file}"])


def test_results_at_a_table(project, tally, tmp_path):
    runs = tmp_path / "runs"
    for spec in (project.plain, project.run):
        shutil.copytree(project.path / project.study.paths.run(spec), runs / spec.run_id)
    for name, what in (
        ("summary.json", "a byte of a result, summary"),
        ("queries.csv.gz", "a byte of a result, queries"),
    ):
        files = [runs / spec.run_id / name for spec in (project.plain, project.run)]
        read = partial(tabled, project, runs, tmp_path / "t_table1")
        attack(tally, what, files, read, 200, ["{file}", "`fsar repair "])


def test_costs_at_a_table(tally, tmp_path):
    spec = {"rows": [["a", {"name": "dmgal", "params": {}}, None]], "dim": 64, "frames": 8}
    costs = tmp_path / "costs.json"
    verb("complexity", spec=json.dumps(spec), out=costs)
    table = {"kind": "parameters", "title": "t", "where": "w", "dim": 64, "frames": 8}
    table["rows"] = [{"method": "a", "published": "0.10M", "head": {"name": "dmgal"}}]

    def read() -> bytes:
        whole = {"table": table, "behind": {}, "cells": [], "way": 5, "complexity": str(costs)}
        verb(
            "table",
            name="t_table7",
            spec=json.dumps(whole),
            runs=tmp_path,
            out=tmp_path / "t_table7",
        )
        return (tmp_path / "t_table7.csv").read_bytes()

    attack(tally, "a byte of a result, costs", [costs], read, 150, ["{file}", "`fsar repair "])


def test_what_a_figure_is_drawn_from(project, tally, tmp_path):
    found = tmp_path / "found.npz"
    verb(
        "inspect",
        spec=project.run.json_text,
        features=project.store(project.run.features),
        episodes=project.episodes,
        episode_spec=project.run.test.json_text,
        checkpoint=project.model,
        weights=project.weights,
        frames=project.store(project.run.features.frames),
        wanted='{"embedding": true}',
        out=found,
    )

    def read() -> dict:
        return {
            name: (str(value.dtype), value.tobytes()) for name, value in arrays.load(found).items()
        }

    attack(
        tally, "a byte of a result, for a figure", [found], read, 200, ["{file}", "`fsar repair "]
    )


def test_verify_finds_what_readers_find(project, tally, tmp_path):
    """And the project is sound at the end: everything was put back."""
    copy = tmp_path / "copy"
    shutil.copytree(
        project.path,
        copy,
        ignore=shutil.ignore_patterns(".snakemake", "data", "logs", "benchmarks"),
    )
    store = copy / project.study.paths.store(project.run.features)
    files = [path for path in store.rglob("*") if path.is_file()]

    def read() -> str:
        verb("verify", store)
        return "sound"

    attack(
        tally,
        "a byte of any file of a store (fsar verify)",
        files,
        read,
        200,
        [str(store), "`fsar repair "],
    )
    config = [
        "--config",
        str(REPOSITORY / "config.yaml"),
        "--configfile",
        str(REPOSITORY / "tests/workflow/smoke.yaml"),
    ]
    here = Path.cwd()
    os.chdir(copy)
    try:
        verb("verify", *config)
    finally:
        os.chdir(here)
