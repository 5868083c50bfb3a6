"""Which weights a store is made with, and where downloaded ones are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fsar_core.errors import FsarError
from fsar_core.storage import weight_files


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_of_a_file(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(b"one")
    assert weight_files.identity(path) == f"sha256:{sha256(b'one')}"


def test_of_a_folder(tmp_path):
    """What a network is loaded from counts, by name and bytes; what lies beside it does not."""
    folder = tmp_path / "x"
    folder.mkdir()
    for name, content in {
        "config.json": b"{}",
        "model.safetensors": b"one",
        "merges.txt": b"a b",
    }.items():
        (folder / name).write_bytes(content)
    first = weight_files.identity(folder)
    text = f'{{"config.json":"{sha256(b"{}")}","merges.txt":"{sha256(b"a b")}","model.safetensors":"{sha256(b"one")}"}}'
    assert first == f"sha256:{sha256(text.encode())}"
    (folder / "README.md").write_text("read me")
    (folder / ".cache").mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"two")
    assert weight_files.identity(folder) == first
    (folder / "model.safetensors").write_bytes(b"two")
    second = weight_files.identity(folder)
    (folder / "merges.txt").rename(folder / "vocab.txt")
    assert len({first, second, weight_files.identity(folder)}) == 3


def test_a_job_with_other_weights_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(b"one")
    weight_files.check(path, weight_files.identity(path))
    weight_files.check(None, None)
    expected = f"sha256:{sha256(b'two')}"
    with pytest.raises(
        FsarError,
        match=f"^--weights: {path} is not what this store is made with: expected {expected}, found",
    ):
        weight_files.check(path, expected)
    for absent in (None, tmp_path / "y.pt"):
        with pytest.raises(
            FsarError, match=f"^--weights: no '{absent}'; expected what has {expected}$"
        ):
            weight_files.check(absent, expected)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://host/a/seem_focalt_v1.pt", "seem_focalt_v1.pt"),
        ("https://host/a/seem%20v1.pt?download=true#x", "seem v1.pt"),
        ("file:///a/b.pt", "b.pt"),
        ("http://host", "weights"),
    ],
)
def test_where_a_download_is_kept(address, name):
    assert weight_files.is_address(address)
    assert weight_files.downloaded(Path("w"), address, "ab12") == Path("w/downloaded/ab12") / name


@pytest.mark.parametrize("path", ["seem.pt", "/abs/seem.pt", "https/seem.pt", "ftp://host/x.pt"])
def test_paths_are_no_addresses(path):
    assert not weight_files.is_address(path)
