import os

import pytest
import torch

from fsar_core.errors import FsarError
from fsar_core.storage import checkpoint


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "runs" / "last.pt"
    checkpoint.save(
        path,
        {"run": "abc", "step": 3, "model": {"w": torch.arange(3.0)}, "history": [{"loss": None}]},
    )
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
    with pytest.raises(
        FsarError, match=r"best\.pt: no such checkpoint; run snakemake to train this run"
    ):
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


def test_every_changed_or_missing_byte_is_found_or_harmless(stored):
    """Tensors lie in the file as they are, and torch reads them whatever their checksum says."""
    whole, found = stored.read_bytes(), 0
    for at in range(0, len(whole), 11):
        for changed in (b"", bytes([whole[at] ^ 1]), bytes([whole[at] ^ 0x40])):
            stored.write_bytes(whole[:at] + changed + whole[at + 1 :])
            try:
                read = checkpoint.load(stored, "abc")
                assert read["step"] == 3 and read["model"]["w"].tolist() == [0.0, 1.0, 2.0]
            except FsarError as error:
                assert str(error).endswith(f"mend it with `fsar repair {stored}`")
                found += 1
    assert found > len(whole) // 11


def test_a_flipped_weight_is_found(tmp_path):
    path = tmp_path / "x.pt"
    checkpoint.save(path, {"run": "abc", "model": {"w": torch.full((50,), 1.5)}})
    whole = path.read_bytes()
    at = whole.index(b"\x00\x00\xc0\x3f" * 50) + 83
    path.write_bytes(whole[:at] + b"\x40" + whole[at + 1 :])
    assert not torch.equal(
        torch.load(path, weights_only=True)["model"]["w"], torch.full((50,), 1.5)
    )
    with pytest.raises(FsarError, match="/data/0' is not as its checksum says"):
        checkpoint.load(path, "abc")


def test_a_newer_format_is_refused_politely(tmp_path):
    torch.save({"format": 2, "run": "abc"}, tmp_path / "x.pt")
    with pytest.raises(
        FsarError,
        match=r"x\.pt: has format 2, and this fsar knows formats up to 1: use the fsar that",
    ):
        checkpoint.load(tmp_path / "x.pt", "abc")


def test_a_checkpoint_of_before_there_were_formats(tmp_path):
    torch.save({"run": "abc", "step": 1}, tmp_path / "x.pt")
    assert checkpoint.load(tmp_path / "x.pt", "abc")["step"] == 1


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


@pytest.mark.parametrize(
    "value", [torch.zeros(2), {"model": {}}, ["abc"]], ids=["tensor", "no run", "list"]
)
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


def test_content_is_that_of_names_types_shapes_and_values():
    state = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(1)}
    same = {"a": torch.tensor(1), "b": torch.arange(6.0).reshape(3, 2).reshape(2, 3)}
    assert checkpoint.content(state) == checkpoint.content(same)
    others = [
        state | {"a": torch.tensor(2)},
        state | {"a": torch.tensor(1, dtype=torch.int32)},
        state | {"b": state["b"].reshape(3, 2)},
        state | {"c": torch.tensor(1)},
        {"b": state["b"], "c": state["a"]},
    ]
    assert len({checkpoint.content(one) for one in (state, *others)}) == 6
    assert checkpoint.content(
        {"x": torch.zeros(2, 2, dtype=torch.bfloat16).T}
    ) == checkpoint.content({"x": torch.zeros(2, 2, dtype=torch.bfloat16)})
