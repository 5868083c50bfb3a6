import os

import pytest
import torch

from fsar_core.errors import FsarError
from fsar_core.training import checkpoint


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "runs" / "last.pt"
    checkpoint.save(path, {"run": "abc", "step": 3, "model": {"w": torch.arange(3.0)}, "history": [{"loss": None}]})
    return path


def test_round_trip(stored):
    found = checkpoint.load(stored, "abc")
    assert found["step"] == 3 and found["history"] == [{"loss": None}]
    torch.testing.assert_close(found["model"]["w"], torch.tensor([0.0, 1.0, 2.0]))
    assert [path.name for path in stored.parent.iterdir()] == ["last.pt"]


def test_another_runs_checkpoint_is_refused(stored):
    with pytest.raises(FsarError, match="checkpoint of run abc, expected def; remove it"):
        checkpoint.load(stored, "def")


def test_whose_checkpoint_it_is_may_be_asked_afterwards(stored):
    assert checkpoint.load(stored)["run"] == "abc"


def test_a_missing_checkpoint_is_told(tmp_path):
    with pytest.raises(FsarError, match=r"best\.pt: no such checkpoint; run snakemake to train this run"):
        checkpoint.load(tmp_path / "best.pt", "abc")


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"",
        lambda whole: b"no checkpoint",
    ],
    ids=["half", "last byte", "empty", "text"],
)
def test_a_damaged_file_is_refused(stored, damage):
    stored.write_bytes(damage(stored.read_bytes()))
    with pytest.raises(FsarError, match="damaged or foreign checkpoint") as caught:
        checkpoint.load(stored, "abc")
    assert "\n" not in str(caught.value) and str(stored) in str(caught.value)


class Harmful:
    """Unpickling this would create a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_not_run(tmp_path):
    path, trap = tmp_path / "evil.pt", tmp_path / "trap"
    torch.save({"run": "abc", "model": Harmful(trap)}, path)
    with pytest.raises(FsarError, match="damaged or foreign checkpoint"):
        checkpoint.load(path, "abc")
    assert not trap.exists()
    torch.load(path, weights_only=False)
    assert trap.exists()  # the file was really able to


@pytest.mark.parametrize("value", [torch.zeros(2), {"model": {}}, ["abc"]], ids=["tensor", "no run", "list"])
@pytest.mark.parametrize(("run", "expected"), [("abc", "abc"), (None, "one")])
def test_a_foreign_file_is_refused(tmp_path, value, run, expected):
    torch.save(value, tmp_path / "foreign.pt")
    with pytest.raises(FsarError, match=f"checkpoint of run None, expected {expected}; remove it"):
        checkpoint.load(tmp_path / "foreign.pt", run)


def test_a_failed_write_keeps_the_old_checkpoint(stored, monkeypatch):
    def broken(value, stream):
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(stored, {"run": "abc"})
    assert checkpoint.load(stored, "abc")["step"] == 3
    assert [path.name for path in stored.parent.iterdir()] == ["last.pt"]
