"""The file or folder that a mask provider loads: its identity, and where a download is kept."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from fsar_core.errors import FsarError
from fsar_core.storage.provenance import digest, file_sha256

# What networks are loaded from; a folder may hold a README and caches beside it.
_READ = (".json", ".safetensors", ".txt")


def identity(path: Path) -> str:
    """Return `sha256:...` of a file's bytes.

    For a folder, names and bytes of its *.json, *.safetensors and *.txt count.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in _READ and file.is_file())
        return f"sha256:{digest({file.name: file_sha256(file) for file in files}, length=64)}"
    return f"sha256:{file_sha256(path)}"


def check(path: Path | None, expected: str | None) -> None:
    """FsarError unless a job is given the weights that its spec is of."""
    if expected is None:
        return
    if path is None or not path.exists():
        raise FsarError(f"--weights: no '{path}'; expected what has {expected}")
    if identity(path) != expected:
        raise FsarError(
            f"--weights: {path} is not what this store is made with: expected {expected}, found "
            f"{identity(path)}; it was "
            f"replaced meanwhile: run snakemake again"
        )


def is_address(text: str) -> bool:
    """Whether weights are named by where they can be downloaded."""
    return text.startswith(("https://", "http://", "file://"))


def downloaded(root: Path, address: str, sha256: str) -> Path:
    """Return where the file of an address is kept, apart from other files of its name."""
    return (
        Path(root)
        / "downloaded"
        / sha256
        / (Path(unquote(urlsplit(address).path)).name or "weights")
    )
