"""The clip index: every clip that a split list names, probed once, with what is wrong with it.

Columns: row (position in every store), split, class, path, group, frames, fps, duration (seconds), height, width,
decoder, problem (empty where the clip is sound).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from fsar_core.config import Card
from fsar_core.data import splits
from fsar_core.data.decoding import VideoProblem, probe
from fsar_core.errors import FsarError
from fsar_core.provenance import atomic_write

TEXT = ("split", "class", "path", "group", "decoder", "problem")
NUMBERS = {"fps": float, "duration": float}
COLUMNS = ("row", *splits.COLUMNS, "frames", "fps", "duration", "height", "width", "decoder", "problem")


def build_index(entries: pd.DataFrame, card: Card, folder: Path, threads: int = 1) -> pd.DataFrame:
    """Probe every clip of a checked split list.

    Raises:
        FsarError: the folder is missing, or more clips are broken than the card's `max_failures` allows.
    """
    if not Path(folder).is_dir():
        raise FsarError(
            f"video folder {folder} of '{card.title}' is missing; put the videos there or change roots.data"
        )
    paths = [Path(folder) / path for path in entries.path]
    with ThreadPoolExecutor(threads) as pool:
        probed = list(tqdm(pool.map(_describe, paths), total=len(paths), desc="index", unit="clip", mininterval=1))
    index = pd.concat([entries.reset_index(drop=True), pd.DataFrame(probed)], axis=1)
    index.insert(0, "row", range(len(index)))
    check_failures(index, card.max_failures, folder)
    return index


def check_failures(index: pd.DataFrame, max_failures: float, folder: Path | str) -> None:
    """FsarError where the share of clips with a problem is above the card's threshold; names the first of them."""
    broken = index[index.problem != ""]
    if len(broken) > max_failures * len(index):
        first = broken.iloc[0]
        raise FsarError(
            f"{len(broken)} of {len(index)} clips below {folder} cannot be used, first '{first.path}': {first.problem}; "
            f"expected at most {max_failures:.1%} (max_failures in the card): mend the files or raise the threshold"
        )


def write_index(path: Path, index: pd.DataFrame) -> None:
    """Tab-separated, atomically."""
    with atomic_write(path) as stream:
        index.to_csv(stream, sep="\t", index=False, lineterminator="\n", float_format="%.6g")


def read_index(path: Path) -> pd.DataFrame:
    """The index as `build_index` made it; text columns stay text."""
    try:
        index = pd.read_csv(path, sep="\t", dtype=dict.fromkeys(TEXT, str) | NUMBERS, keep_default_na=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FsarError(f"{path}: no readable clip index ({reason}); make it with `fsar index`") from None
    missing = [name for name in COLUMNS if name not in index]
    if missing:
        raise FsarError(f"{path}: no clip index, the column '{missing[0]}' is missing; make it with `fsar index`")
    return index


def _describe(path: Path) -> dict:
    try:
        info = probe(path)
    except VideoProblem as problem:
        return dict(frames=0, fps=0.0, duration=0.0, height=0, width=0, decoder="", problem=str(problem))
    duration = info.frames / info.fps if info.fps else 0.0
    return dict(
        frames=info.frames,
        fps=info.fps,
        duration=duration,
        height=info.height,
        width=info.width,
        decoder=info.decoder,
        problem="",
    )
