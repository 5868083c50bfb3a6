"""Arrays taken out of runs and stores for figures: .npz files that record their name, <figure>/<run or store>."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fsar_core.errors import FsarError, mend
from fsar_core.storage.provenance import atomic_write, zip_damage

NAME = "name"  # the member that holds the name


def name_of(path: Path) -> str:
    """The last folder and the stem of a path, which say what a file is of: `dmgal_fig4/<run>`."""
    path = Path(path).absolute()
    return f"{path.parent.name}/{path.stem}"


def save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and the file's name, atomically."""
    with atomic_write(path, "wb") as stream:
        np.savez_compressed(stream, **{NAME: np.array(name_of(path))}, **arrays)


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `save` wrote.

    Raises:
        FsarError: the file is missing, damaged, or a copy of one with another name. Files from
            before names were recorded are read as they are.
    """
    path = Path(path)
    try:
        if zip_damage(path):
            raise ValueError("checksum")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise FsarError(f"{path}: missing; run snakemake to look into this run") from None
    except (
        Exception
    ) as error:  # zipfile.BadZipFile, ValueError, zlib.error: whatever a damaged file gives
        raise FsarError(f"{path}: damaged ({type(error).__name__}); {mend(path)}") from None
    recorded = str(arrays.pop(NAME, name_of(path)))
    if recorded != name_of(path):
        raise FsarError(
            f"{path}: a copy of {recorded}, expected what was taken out for {name_of(path)}; remove it "
            f"and run snakemake again"
        )
    return arrays
