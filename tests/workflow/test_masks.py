"""Masks in the workflow: made for the runs that learn from them, read in training, and by nothing that tests."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import shutil

import pytest
import yaml

from tests.mask_providers.teachers import tiny_clipseg
from tests.workflow.folders import SMOKE, Folder, study, summaries

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def run():
    """A run of I2ST on the data set that the shared folder has."""
    cells = study().experiments.cells("i2st_table1")
    return next(
        c.run
        for c in cells
        if c.row.method.startswith("I") and c.run.features.dataset == "demo_temporal"
    )


def test_only_runs_that_learn_from_masks_need_them(smoke, run):
    target = f"results/runs/{run.run_id}/summary.json"
    jobs = smoke.planned("--", target)
    assert set(jobs) == {"plan_masks", "fill_masks", "seal_masks", "train_head", "evaluate_head"}
    assert "plan_masks" not in smoke.planned("-R", "train_head", "--", *summaries("Bi-MHM"))
    assert set(smoke.planned("--", "masks")) >= {"plan_masks", "fill_masks", "seal_masks"}


def test_evaluation_reads_no_masks(smoke, run, tmp_path):
    """The masks are deleted after training, and the frames that they lie over too; the test gives the same result."""
    copy = Folder(tmp_path / "copy")
    shutil.copytree(smoke.path, copy.path, ignore=shutil.ignore_patterns(".snakemake"))
    target = f"results/runs/{run.run_id}/summary.json"
    copy.ok("--rerun-triggers", "mtime", "--", target)
    history = (
        (copy.path / "results/models" / run.model.model_id / "history.csv").read_text().splitlines()
    )
    assert len(history) == 3
    first = (copy.path / target).read_bytes()
    manifest = json.loads(
        (copy.path / "stores/masks" / run.masks.key / "manifest.json").read_text()
    )
    assert manifest["clips"] == 24 * 8 and manifest["failures"] == []
    shutil.rmtree(copy.path / "stores/masks")
    shutil.rmtree(copy.path / "data")
    for name in ("summary.json", "queries.csv.gz"):
        (copy.path / "results/runs" / run.run_id / name).unlink()
    text = copy.ok(
        "-p", "--rerun-triggers", "mtime", "--allowed-rules", "evaluate_head", "--", target
    )
    assert (
        "fsar_core evaluate --spec" in text
        and "fsar_core train" not in text
        and "--masks" not in text
    )
    assert (copy.path / target).read_bytes() == first


# -- teachers -----------------------------------------------------------------------------------------------------------------


def taught(path, **masks) -> str:
    """A configuration in which a teacher makes the masks, laid over that of the smoke run."""
    path.write_text(yaml.safe_dump({"presets": {"demo": {"masks": masks}}}))
    return str(path)


def copied(smoke, tmp_path) -> Folder:
    copy = Folder(tmp_path / "copy")
    shutil.copytree(smoke.path, copy.path, ignore=shutil.ignore_patterns(".snakemake"))
    return copy


def test_what_comes_with_a_data_set_needs_no_device(smoke, run):
    jobs = smoke.planned("-R", "plan_masks", "--", f"stores/masks/{run.masks.key}/manifest.json")
    assert "fill_masks" in jobs and "seem_masks" not in jobs


@pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)
def test_one_command_gives_the_masks_of_a_data_set(smoke, tmp_path):
    """From the frames to a sealed store and its picture; a touched file is no reason to look at all frames again."""
    copy = copied(smoke, tmp_path)
    folder = tiny_clipseg(copy.path / "weights" / "clipseg")
    teacher = taught(
        tmp_path / "c.yaml",
        provider="clipseg",
        weights="clipseg",
        params={"size": 32},
        clips_per_job=64,
    )
    line = (
        "--configfile",
        str(SMOKE),
        teacher,
        "--rerun-triggers",
        "mtime",
        "--",
        "results/masks/demo_temporal.png",
    )
    jobs = copy.planned(*line)
    assert (
        set(jobs) == {"plan_masks", "seem_masks", "seal_masks", "look_at_masks"}
        and len(jobs["seem_masks"]) == 3
    )
    text = copy.ok("-p", "--resources", "gpu=1", *line)
    assert "fsar_core lease -n 1 -- python -m fsar_core fill" in text
    (store,) = (copy.path / "stores/masks").glob("demo_temporal.clipseg.*")
    manifest = json.loads((store / "manifest.json").read_text())
    assert manifest["failures"] == [] and manifest["spec"]["weights"].startswith("sha256:")
    assert {file.split("/")[1] for file in manifest["files"]} == {"masks", "score"}
    with open(copy.path / "results/masks/demo_temporal.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 24 * 8 and all(-1 <= float(row["score"]) <= 1 for row in rows)
    assert (
        rows[0]["prompt"] == rows[0]["class"].lower()
        and sum(int(row["shown"]) for row in rows) == 6
    )
    (folder / "config.json").touch()
    folder.touch()
    assert "Nothing to be done" in copy.ok(*line)


def test_a_teachers_jobs_and_its_file(smoke, tmp_path):
    """A file that is there is read; one that is named by its address is fetched first, by its SHA-256."""
    copy = copied(smoke, tmp_path)
    (copy.path / "weights" / "x.pt").write_bytes(b"one")
    sha256 = hashlib.sha256(b"one").hexdigest()
    here = taught(tmp_path / "here.yaml", provider="seem", weights="x.pt")
    away = taught(
        tmp_path / "away.yaml",
        provider="seem",
        weights=f"file://{copy.path}/weights/x.pt",
        sha256=sha256,
    )
    target = ("--rerun-triggers", "mtime", "--", "results/masks/demo_temporal.png")
    first = copy.planned("--configfile", str(SMOKE), here, *target)
    assert set(first) == {"plan_masks", "seem_masks", "seal_masks", "look_at_masks"}
    second = copy.planned("--configfile", str(SMOKE), away, *target)
    assert (
        set(second) == {*first, "fetch_mask_weights"}
        and second["plan_masks"] == first["plan_masks"]
    )
    fetched = f"weights/downloaded/{sha256}/x.pt"
    copy.ok("--configfile", str(SMOKE), away, "--", fetched)
    assert (copy.path / fetched).read_bytes() == b"one"
    # What lies there is no checkpoint.
    done = copy.snakemake("--configfile", str(SMOKE), away, *target)
    told = [line for line in done.stderr.splitlines() if line.startswith("fsar: error:")]
    assert (
        done.returncode == 2
        and "x.pt: not a state dict that loads with weights_only=True" in told[-1]
    )


@pytest.mark.parametrize(
    ("target", "masks", "expected"),
    [
        (
            "masks",
            {"provider": "seem", "weights": "missing.pt"},
            "masks.weights: no file 'missing.pt', here or in roots.weights",
        ),
        (
            f"weights/downloaded/{hashlib.sha256(b'x').hexdigest()}/x.pt",
            {},
            "no weights of the SHA-256 2d711642b726b0",
        ),
    ],
)
def test_what_cannot_be_had_is_one_line_before_any_job(smoke, tmp_path, target, masks, expected):
    config = taught(tmp_path / "c.yaml", **masks)
    done = smoke.snakemake("-n", "--configfile", str(SMOKE), config, "--", target)
    told = [line for line in done.stderr.splitlines() if line.startswith("fsar: error:")]
    assert done.returncode == 2 and expected in told[-1] and "Traceback" not in done.stderr
