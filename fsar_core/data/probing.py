"""Making the clip index: every listed clip is found, opened and measured, and what is wrong with it is written down."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from fsar_core.config import SPLITS, Card
from fsar_core.data.content import clip_sha256
from fsar_core.data.decoding import VideoInfo, VideoProblem, probe
from fsar_core.data.duplicates import check_distinct
from fsar_core.data.files import FileFinder, Missing
from fsar_core.data.index import COLUMNS, LOST
from fsar_core.data.isolation import Lost, isolated_map
from fsar_core.errors import FsarError
from fsar_core.storage.provenance import atomic_write

KINDS = ("missing", "unreadable", "too short", LOST)  # of problems


def build_index(
    entries: pd.DataFrame, card: Card, folder: Path, workers: int = 1, timeout: float = 60.0
) -> pd.DataFrame:
    """The index of a checked split list (columns as in fsar_core/data/index.py), sound and broken clips alike.

    Args:
        workers: processes; a clip that makes one of them die or takes longer than `timeout` seconds, twice, is lost.
    Raises:
        FsarError: the folder is missing, or two listed clips are the same file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FsarError(
            f"video folder {folder} of '{card.title}' is missing; put the videos there or change roots.data"
        )
    finder, rows = FileFinder(folder, card.files), []
    for path in entries.path:
        try:
            rows.append(_row(finder.find(path)))
        except Missing as missing:
            rows.append(_row("", f"missing: {missing}"))
    check_distinct(
        entries, {path: row["file"] for path, row in zip(entries.path, rows) if row["file"]}, folder
    )
    found = [row for row in rows if row["file"]]
    probed = isolated_map(_probe, [folder / row["file"] for row in found], workers, timeout)
    bar = tqdm(probed, total=len(found), desc="index", unit="clip", mininterval=1)
    for row, result in zip(found, bar, strict=True):
        if isinstance(result, Lost):
            row["problem"] = f"{LOST if result.worker_died else 'unreadable'}: {result.reason}"
            continue
        info, row["sha256"] = result
        if not isinstance(info, VideoInfo):
            row["problem"] = f"unreadable: {info}"
            continue
        row |= asdict(info) | {"duration": info.frames / info.fps if info.fps else 0.0}
        if info.frames < card.min_frames:
            row["problem"] = (
                f"too short: {info.frames} frames, expected {card.min_frames} (min_frames in the card)"
            )
    index = pd.concat([entries.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
    index.insert(0, "row", range(len(index)))
    return index[list(COLUMNS)]


def report(index: pd.DataFrame, card: Card) -> str:
    """A line for each split (clips and classes against the card's, problems by kind) and one for the decoders."""
    lines = []
    for split in SPLITS:
        part = index[index.split == split]
        kinds = Counter(problem.partition(":")[0] for problem in part.problem)
        lines.append(f"{split}: {len(part)} clips of {part['class'].nunique()} classes listed")
        if split in card.expected:
            classes, clips = card.expected[split]
            lines[-1] += f" (expected {'any' if clips is None else clips} of {classes})"
        lines[-1] += f", {(part.problem == '').sum()} usable"
        lines[-1] += "".join(f", {kinds[kind]} {kind}" for kind in KINDS if kind in kinds)
    decoders = index.decoder[index.problem == ""].value_counts()
    lines.append(
        "decoded by: "
        + (", ".join(f"{name} {count}" for name, count in decoders.items()) or "nothing")
    )
    return "\n".join(lines)


def write_problems(path: Path, index: pd.DataFrame, copies: pd.DataFrame | None = None) -> None:
    """Write the clips that cannot be used, tab-separated: row, split, class, path, file, kind, reason. Atomic.

    Args:
        copies: usable clips whose content another clip has, as `duplicates.equal_content` returns them; listed last.
    """
    broken = index[index.problem != ""]
    kinds, reasons = (
        [problem.partition(": ")[part] for problem in broken.problem] for part in (0, 2)
    )
    table = broken[["row", "split", "class", "path", "file"]].assign(kind=kinds, reason=reasons)
    if copies is not None:
        table = pd.concat([table, copies[list(table.columns)]])
    with atomic_write(path) as stream:
        table.to_csv(stream, sep="\t", index=False, lineterminator="\n")


def check_failures(index: pd.DataFrame, max_failures: float, folder: Path, problems: Path) -> None:
    """FsarError where the share of clips with a problem is above the card's threshold; names the first, and their list."""
    broken = index[index.problem != ""]
    if len(broken) > max_failures * len(index):
        first = broken.iloc[0]
        raise FsarError(
            f"{len(broken)} of {len(index)} clips below {folder} cannot be used, first '{first.path}': {first.problem}; "
            f"expected at most {max_failures:.1%} (max_failures in the card): mend the files or raise the threshold; "
            f"all are listed in {problems}"
        )


def _row(file: str, problem: str = "") -> dict:
    measured = {"frames": 0, "fps": 0.0, "duration": 0.0, "height": 0, "width": 0, "decoder": ""}
    return {"file": file} | measured | {"problem": problem, "sha256": ""}


def _probe(path: Path) -> tuple[VideoInfo | str, str]:
    """What a clip is, or why it cannot be read, and the SHA-256 of its file."""
    sha256 = clip_sha256(path)
    try:
        return probe(path), sha256
    except VideoProblem as problem:
        return str(problem), sha256
