"""`fsar verify`: everything under the roots is found and read, and damage is told with the command that mends it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fsar_core.__main__ import main
from fsar_core.maintenance.verify import unit_of

KEPT = Path(__file__).parents[1] / "formats" / "layout1"
RUN = json.loads((KEPT / "run" / "summary.json").read_text(encoding="utf-8"))[
    "run"
]  # a run's folder has its name


@pytest.fixture
def filled(project, tmp_path) -> Path:
    """One of everything, sound."""
    for kind in ("frames", "features", "masks"):
        shutil.copytree(KEPT / kind, tmp_path / "stores" / kind / f"toy.{kind}")
    for source, target in (
        ("index.tsv", "stores/index/toy.tsv"),
        ("test.npz", "results/episodes/test.npz"),
        ("test.npz", "results/inspections/fig/x.npz"),
        ("model/checkpoint.pt", "results/models/m/checkpoint.pt"),
        ("model/checkpoint.pt", "weights/trained/w.pt"),
        ("run/summary.json", "results/complexity/t.json"),
    ):
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(KEPT / source, tmp_path / target)
    shutil.copytree(KEPT / "run", tmp_path / "results" / "runs" / RUN)
    (tmp_path / "results" / "models" / "m" / ".last.pt.a1b2c3d4").write_bytes(
        b"half"
    )  # of a killed job
    return tmp_path


THINGS = [
    "results/complexity/t.json",
    "results/episodes/test.npz",
    "results/inspections/fig/x.npz",
    "results/models/m/checkpoint.pt",
    "stores/index/toy.tsv",
    "weights/trained/w.pt",
    "stores/features/toy.features",
    "stores/frames/toy.frames",
    "stores/masks/toy.masks",
    f"results/runs/{RUN}",
]


def flip(path: Path, at: int = -40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 2
    path.write_bytes(data)


def test_everything_is_checked(filled, capsys):
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        *(f"{thing}: sound" for thing in THINGS),
        "10 checked, none damaged",
    ]


@pytest.mark.parametrize(
    ("file", "at", "thing", "told"),
    [
        ("stores/frames/toy.frames/data.zarr/frames/c/0/0/0/0/0/0", 9, "stores/frames/toy.frames",
         "job 0: data.zarr/frames/c/0/0/0/0/0/0: bytes differ from the receipt's sha256"),
        ("stores/masks/toy.masks/receipts/0.json", 30, "stores/masks/toy.masks", "job 0: receipts/0.json: damaged ("),
        ("stores/index/toy.tsv", 200, None, "damaged (its content is not that of its sha256)"),
        ("results/episodes/test.npz", 300, None, "damaged ("),
        ("results/inspections/fig/x.npz", 300, None, "damaged ("),
        ("results/models/m/checkpoint.pt", 300, None, "damaged ("),
        ("weights/trained/w.pt", 300, None, "damaged ("),
        ("results/complexity/t.json", 100, None, "damaged ("),
        (f"results/runs/{RUN}/summary.json", 100, f"results/runs/{RUN}", "damaged ("),
        (f"results/runs/{RUN}/queries.csv.gz", 100, f"results/runs/{RUN}", "damaged, or of another test than its summary.json"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_told(filled, capsys, file, at, thing, told):
    flip(filled / file, at)
    thing = thing or file
    for words in ([], [thing], [file]):  # a file inside a store or a run stands for all of it
        assert main(["verify", *words]) == 2
        out, err = capsys.readouterr()
        (line,) = [line for line in out.splitlines() if not line.endswith(": sound")]
        assert line.startswith(f"{thing}: {told}")
        checked = 1 if words else 10
        assert (
            err
            == f"fsar: error: 1 of {checked} checked are damaged; mend with `fsar repair {thing}`\n"
        )


def test_all_that_is_damaged_is_in_one_command(filled, capsys):
    flip(filled / "stores/index/toy.tsv", 200)
    (filled / "stores/features/toy.features/receipts/0.json").unlink()
    assert main(["verify"]) == 2
    out, err = capsys.readouterr()
    assert "stores/features/toy.features: job 0: receipts/0.json: missing" in out
    assert err.endswith(
        "mend with `fsar repair stores/index/toy.tsv stores/features/toy.features`\n"
    )


def test_an_unfinished_store_is_no_damage(filled, capsys):
    store = filled / "stores/frames/toy.frames"
    (store / "manifest.json").unlink()
    assert main(["verify", str(store)]) == 0
    assert capsys.readouterr().out.startswith(f"{store}: not sealed yet\n")
    (store / "receipts/0.json").unlink()
    assert main(["verify", str(store)]) == 0
    assert capsys.readouterr().out.startswith(f"{store}: not finished: 1 jobs are not done\n")


def test_a_plan_that_was_interrupted_is_no_damage(filled, capsys):
    """Zarr's arrays come before the plan."""
    store = filled / "stores/frames/new.frames"
    shutil.copytree(filled / "stores/frames/toy.frames/data.zarr", store / "data.zarr")
    for words, last in (
        (["verify"], "11 checked, none damaged"),
        (["verify", str(store)], "1 checked, none damaged"),
    ):
        assert main(words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert (
            any(line.endswith("new.frames: not planned yet") for line in lines)
            and lines[-1] == last
        )


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (
            "nowhere",
            "nowhere: nothing to check; expected a store, the folder of a run, or a file that fsar wrote",
        ),
        ("results", "results: nothing to check; expected a store"),
        (
            "config.yaml",
            "config.yaml: nothing that holds a checksum; expected .npz, .pt, .json or a clip index",
        ),
    ],
)
def test_mistakes_are_one_line(filled, capsys, path, line):
    assert main(["verify", path]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"fsar: error: {line}") and err.count("\n") == 1


def test_what_lies_in_the_projects_own_folder_is_no_store(filled):
    (filled / "manifest.json").write_text("{}")
    assert unit_of(filled / "stores/index/toy.tsv") == filled / "stores/index/toy.tsv"
    assert unit_of(Path("stores/frames/toy.frames/data.zarr/frames/c/0/0/0/0/0/0")) == Path(
        "stores/frames/toy.frames"
    )


def test_only_what_is_a_store_is_checked_as_one(filled, capsys):
    """One that is only planned, with neither receipts nor a seal, is one; a folder of anything else is not."""
    planned = filled / "stores/frames/new.frames"
    shutil.copytree(filled / "stores/frames/toy.frames", planned)
    shutil.rmtree(planned / "receipts")
    (planned / "manifest.json").unlink()
    (filled / "stores/frames/mine/receipts").mkdir(parents=True)
    (filled / "stores/frames/mine/receipts.txt").write_text("x")
    assert main(["verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "stores/frames/new.frames: not finished: 1 jobs are not done" in lines
    assert not any("mine" in line for line in lines) and lines[-1] == "11 checked, none damaged"


def test_what_a_killed_clean_left_is_named_as_such(filled, capsys):
    """It is no damage, and nothing to repair, whatever is left of it."""
    for path, name in (
        ("stores/frames/toy.frames", "manifest.json"),
        ("results/models/m", ".last.pt.a1b2c3d4"),
    ):
        (filled / path).rename((filled / path).with_name(f".removed.{Path(path).name}"))
        ((filled / path).with_name(f".removed.{Path(path).name}") / name).unlink()
    store = "stores/frames/.removed.toy.frames"
    flip(filled / store / "data.zarr/frames/c/0/0/0/0/0/0", 9)
    said = "left by a killed `fsar clean`, which nothing reads; `fsar clean` removes it"
    assert main(["verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if ".removed." in line] == [
        f"results/models/.removed.m: {said}",
        f"{store}: {said}",
    ]
    for word in (store, f"{store}/receipts/0.json"):
        assert main(["verify", word]) == 0
        assert capsys.readouterr().out.startswith(f"{store}: {said}\n")
        assert main(["repair", word]) == 0
        assert capsys.readouterr().out == f"{store}: {said}; nothing to mend\n"
