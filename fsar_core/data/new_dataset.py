"""From a folder of videos, `class/clip.ext`, to a card and a split list of its own: what `fsar init-dataset` proposes.

The proposal is a starting point to be edited: classes are spread at random (by a seed) over train, val and test, or as the
user says, and the source video of a clip is read off its name where all names follow a known pattern.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from fsar_core.config import SPLITS, Card, Files, validate
from fsar_core.data import splits
from fsar_core.data.duplicates import (
    check_distinct,
    digests_of_equal_sizes,
    equal_content,
    warnings,
)
from fsar_core.data.files import PICTURES, FileFinder
from fsar_core.data.splits import COLUMNS
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.runtime.seeding import rng
from fsar_core.storage.provenance import atomic_write

# Source: the naming of UCF101 (v_Archery_g03_c01), HMDB51 (Film_1_kick_f_cm_np1_ba_bad_0) and Kinetics (id_000012_000022).
SOURCES = {
    "UCF101's _g01_c01": re.compile(r"(?P<group>.+_g\d+)_c\d+"),
    "HMDB51's film_class_f_cm_np1_ba_bad_0": re.compile(
        r"(?P<group>.+)_[hufl]_(?:cm|nm)_np\d+_[a-z]{2}_[a-z]{3}_\d+"
    ),
    "Kinetics' id_start_end": re.compile(r"(?P<group>.{11})_\d{6}_\d{6}"),
}
SHARES = {"train": 0.5, "val": 0.25, "test": 0.25}


@dataclass(frozen=True)
class Proposal:
    """A split list and what was found on the way to it.

    Attributes:
        entries: columns of split.tsv, in the order of splits, classes and names.
        ignored: paths that are no video and no folder of frames.
        broken: links that lead nowhere, or to themselves.
        sources: the pattern that gave the groups, or None.
        unusable: clips that cannot be read with the card as it is, and why.
        copies: warnings about clips with equal content.
    """

    entries: pd.DataFrame
    ignored: list[str]
    broken: list[str]
    sources: str | None
    unusable: dict[str, str]
    copies: list[str]

    def report(self) -> list[str]:
        """Lines for the user."""
        lines = []
        for split in SPLITS:
            part = self.entries[self.entries.split == split]
            sizes = part.groupby("class").size()
            lines.append(
                f"{split:5}  {len(sizes)} classes, {len(part)} clips ({sizes.min()} to {sizes.max()} a class): "
                + ", ".join(sizes.index)
            )
        groups = self.entries.group.nunique()
        lines.append(
            f"source videos: {groups} (names follow {self.sources})"
            if self.sources
            else "source videos: not recognised in the names; every clip counts as a source of its own"
        )
        if self.ignored:
            lines.append(
                f"ignored: {len(self.ignored)} files that are no video, first '{self.ignored[0]}'"
            )
        if self.broken:
            lines.append(
                f"broken links: {len(self.broken)}, first '{self.broken[0]}'; these clips are left out"
            )
        for path, reason in list(self.unusable.items())[:1]:
            lines.append(f"cannot be read: {len(self.unusable)} clips, first '{path}': {reason}")
        return lines + self.copies


def propose(
    folder: Path, chosen: dict[str, list[str]] | None = None, way: int = 5, seed: int = 0
) -> Proposal:
    """Look at the names below `folder` and propose a split. Reads only videos that are equally large.

    Args:
        chosen: class names of some splits; the other classes are spread over the splits that are not chosen.
        way: val and test get at least so many classes where they are not chosen and there are enough.
    Raises:
        FsarError: no such folder, fewer than three classes, an unknown or twice chosen class, or one file under two names.
    """
    clips, ignored, broken = _clips(Path(folder))
    classes = sorted({name for name, _ in clips})
    split_of = _spread(folder, classes, chosen or {}, way, seed)
    sources, groups = _groups([path for _, path in clips])
    rows = [
        (split_of[name], name, f"{name}/{path}", group)
        for (name, path), group in zip(clips, groups)
    ]
    entries = pd.DataFrame(rows, columns=list(COLUMNS), dtype=str)
    order = entries.split.map({split: number for number, split in enumerate(SPLITS)})
    entries = entries.assign(order=order).sort_values(["order", "class", "path"], ignore_index=True)
    entries = entries.drop(columns="order")
    files, unusable = FileFinder(folder, Files()).find_all(entries.path)
    check_distinct(entries, files, folder)
    clips = entries[entries.path.isin(files)]
    clips = clips.assign(file=clips.path.map(files))
    copies = warnings(equal_content(clips, digests_of_equal_sizes(folder, clips.file)))
    return Proposal(entries, ignored, broken, sources, unusable, copies)


def write_dataset(
    target: Path, proposal: Proposal, folder: str, flip: bool = False, spatial: bool = False
) -> None:
    """Write the card and the split list of a proposal.

    Args:
        target: the folder of the data set; its name is the data set's.
        folder: of the videos, below the data root.
        flip: whether a mirrored clip keeps its class.
        spatial: whether objects and scene tell the classes apart, not time.
    Raises:
        FsarError: the proposed split is not valid.
    """
    card = {
        "title": target.name,
        "source": "my own recordings",
        "citation": "none",
        "licence": "not stated",
        "modality": "spatial" if spatial else "temporal",
        "folder": folder,
        "split": {"format": "split_tsv", "file": "split.tsv"},
        "flip": flip,
        "groups": proposal.sources is not None,
        "max_failures": 0.0,
    }
    checked = validate(Card, card, str(target / "card.yaml"))
    splits.check(proposal.entries, checked, target / "split.tsv")
    splits.write(target / "split.tsv", proposal.entries)
    with atomic_write(target / "card.yaml") as stream:
        yaml.safe_dump(card, stream, sort_keys=False, allow_unicode=True)


def _clips(folder: Path) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """(class, name) of every video and every folder of frames, paths that are neither, and links that lead nowhere."""
    if not folder.is_dir():
        raise FsarError(f"{folder}: no such folder; expected one that holds class/clip files")
    found, ignored, broken = [], [], []
    for entry in _listed(folder):
        if _is_broken(entry):
            broken.append(entry.name)
            continue
        if not entry.is_dir():
            ignored.append(entry.name)
            continue
        for clip in _listed(entry.path):
            if _is_broken(clip):
                broken.append(f"{entry.name}/{clip.name}")
                continue
            is_video = clip.is_file() and clip.name.lower().endswith(tuple(Files().extensions))
            if is_video or (
                clip.is_dir() and any(f.name.lower().endswith(PICTURES) for f in _listed(clip.path))
            ):
                found.append((entry.name, clip.name))
            else:
                ignored.append(f"{entry.name}/{clip.name}")
    if not found:
        raise FsarError(
            f"{folder}: holds no class/clip with one of {', '.join(Files().extensions)} and no class/clip folder with "
            f"{', '.join(PICTURES)} files"
        )
    return found, ignored, broken


def _is_broken(entry: os.DirEntry) -> bool:
    """Whether an entry is a link that leads nowhere, or to itself."""
    return entry.is_symlink() and not os.path.exists(entry.path)


def _listed(folder: Path | str) -> list[os.DirEntry]:
    """What is in a folder, by name, without hidden files."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _spread(
    folder: Path, classes: list[str], chosen: dict[str, list[str]], way: int, seed: int
) -> dict[str, str]:
    """Class -> split."""
    split_of: dict[str, str] = {}
    for split, names in chosen.items():
        for name in names:
            if name not in classes:
                raise FsarError(f"{folder}: no class '{name}'{did_you_mean(name, classes)}")
            if split_of.setdefault(name, split) != split:
                raise FsarError(
                    f"class '{name}' is chosen for {split_of[name]} and for {split}; choose it once"
                )
    rest = [name for name in classes if name not in split_of]
    rest = [rest[i] for i in rng(seed, "init-dataset").permutation(len(rest))]
    free = [split for split in SPLITS if split not in chosen]
    if len(rest) < len(free):
        raise FsarError(
            f"{folder}: {len(classes)} classes, of which {len(rest)} are left for {' and '.join(free)}; expected at least one "
            f"for each of train, val and test"
        )
    if rest and not free:
        raise FsarError(
            f"class '{rest[0]}' is chosen for no split; name it under --train, --val or --test"
        )
    total, shares = (
        len(rest),
        {split: SHARES[split] / sum(SHARES[s] for s in free) for split in free},
    )
    for split in reversed(free[1:]):
        count = max(round(shares[split] * total), min(way, total // len(free)))
        split_of |= dict.fromkeys(rest[:count], split)
        rest = rest[count:]
    return split_of | dict.fromkeys(rest, free[0] if free else "train")


def _groups(paths: list[str]) -> tuple[str | None, list[str]]:
    """The pattern that all names follow, and the source of each clip (empty texts without a pattern)."""
    stems = [
        Path(path).stem if path.lower().endswith(tuple(Files().extensions)) else path
        for path in paths
    ]
    for name, pattern in SOURCES.items():
        matches = [pattern.fullmatch(stem) for stem in stems]
        if all(matches):
            return name, [match["group"] for match in matches]
    return None, [""] * len(paths)


def name_of(folder: Path) -> str:
    """The name of a data set after its folder; what such a name cannot hold becomes `_`."""
    # Not Path.resolve, which fails on a link that leads to itself.
    return re.sub(r"[^A-Za-z0-9_-]+", "_", os.path.basename(os.path.realpath(folder))).strip("_")


def link(folder: Path, data_root: Path, name: str) -> str:
    """The folder's path below the data root; a folder that lies elsewhere is linked there under the data set's name."""
    folder = Path(os.path.realpath(folder))
    root = Path(os.path.realpath(data_root))
    if folder != root and folder.is_relative_to(root):
        return folder.relative_to(root).as_posix()
    made = Path(data_root) / name
    if made.is_symlink() and Path(os.path.realpath(made)) == folder:
        return name
    if made.exists() or made.is_symlink():
        raise FsarError(f"{made} is there already and is not {folder}; choose another --name")
    made.parent.mkdir(parents=True, exist_ok=True)
    made.symlink_to(folder)
    return name
