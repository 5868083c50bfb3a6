"""Data set cards: what a data set is, which clips it holds, and the digest that its stores are keyed by. Torch-free."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from fsar_core.config import SPLITS, Card, DemoVideos, Files, load
from fsar_core.data import split_formats, splits
from fsar_core.data.files import is_inside
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.storage.provenance import digest

# Also a wildcard's constraint in workflow/rules/common.smk; file names hold it beside a key.
NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True)
class Dataset:
    """A card with its name, the folder of its videos and the clips that its split list names.

    Attributes:
        clips: one row a clip in stored order (train, val, test; then class; then path), columns split, class, path, group.
        digest: of everything in the card that decides what a clip's pixels, class or split are.
    """

    name: str
    card: Card
    folder: Path
    clips: pd.DataFrame
    digest: str

    def __len__(self) -> int:
        return len(self.clips)

    def classes(self, split: str) -> int:
        """Return how many classes a split has, by its list."""
        return self.clips["class"][self.clips["split"] == split].nunique()

    # Both are asked for by every job that Snakemake plans, thousands of times.
    @cached_property
    def training_classes(self) -> list[str]:
        return sorted(set(self.clips["class"][self.clips.split == "train"]))

    @cached_property
    def training_clips(self) -> int:
        return int((self.clips.split == "train").sum())


def card_names(folder: Path) -> list[str]:
    """Data sets for which `folder` (workflow/datasets) holds a card."""
    return sorted(path.parent.name for path in Path(folder).glob("*/card.yaml"))


def check_name(name: str, where: Path | str) -> str:
    """The name of a data set, as file names and wildcards of the workflow can hold it. FsarError for any other."""
    if not NAME.fullmatch(name):
        raise FsarError(
            f"{where}: '{name}' is no name of a data set; choose one of A-Z, a-z, 0-9, _ and - only, 100 at most"
        )
    return name


def card_file(folder: Path, name: str) -> Path:
    """The file of a card below `folder` (workflow/datasets). FsarError for a name that is unknown or no name."""
    known = card_names(folder)
    if name not in known:
        raise FsarError(f"no card for data set '{name}' in {folder}{did_you_mean(name, known)}")
    return Path(folder) / check_name(name, folder) / "card.yaml"


def load_dataset(
    folder: Path, name: str, data_root: Path, demo_videos: DemoVideos, seed: int
) -> Dataset:
    """Read a card and its split list. Looks at no video.

    Args:
        folder: workflow/datasets.
        demo_videos, seed: sizes and seed of the demo videos; they belong to the identity of a card with a generator.
    Raises:
        FsarError: unknown name, invalid card, unreadable or inconsistent split list.
    """
    file = card_file(folder, name)
    card = load(Card, file)
    root = Path(data_root) / card.folder
    identity: dict = {"name": name, "folder": card.folder, "flip": card.flip}
    if card.generator:
        from fsar_core.data import demo  # imports a video library, which listing does without

        entries = splits.check(demo.split_table(card.generator, demo_videos.clips), card, file)
        sizes = demo_videos.model_dump(mode="json", exclude={"jobs"})
        identity["generator"] = [card.generator, demo.VERSION, seed, sizes]
    else:
        entries = load_entries(file, card, root)
        text = entries.to_csv(sep="\t", index=False, lineterminator="\n")
        identity["clips"] = hashlib.sha256(text.encode()).hexdigest()
        # The paths of the clips are in `clips`; where a link may lead decides nothing that is in a file.
        files = card.files.model_copy(update={"path": None, "links": "inside"})
        if files != Files():
            identity["files"] = files.model_dump(mode="json", exclude={"links"})
    found = digest(identity)
    # Demo videos of other sizes or seeds lie beside each other.
    videos = root / found if card.generator else root
    return Dataset(name=name, card=card, folder=videos, clips=entries, digest=found)


def load_entries(file: Path, card: Card, folder: Path) -> pd.DataFrame:
    """The clips of a card's split list, whatever its format, checked and in stored order (see Dataset.clips).

    Args:
        file: the card's own.
        folder: of the data set's videos; a list lies there or beside the card.
    Raises:
        FsarError: a list is missing, unreadable or inconsistent.
    """
    source, beside, folder = card.split, Path(file).parent, Path(folder)

    def located(name: str) -> Path:
        place = next((place for place in (beside, folder) if os.path.exists(place / name)), None)
        if (
            place is not None
            and card.files.links == "inside"
            and not is_inside(place, place / name)
        ):
            raise FsarError(
                f"{place / name}: a link that leads out of {place}; put the file itself there"
            )
        if place is None:
            # Published lists and labels are others' work: they are never shipped with a card.
            raise FsarError(
                f"{folder / name}: no such split list, here or beside the card; make it from published lists with "
                f"`fsar import-split LISTS --card {beside.name} --out {beside / name}`"
                if source.format == "split_tsv"
                else f"{folder / name}: no such file, here or beside {file}, which names it under `split`"
            )
        return place / name

    if source.format == "split_tsv":
        where = located(source.file)
        return splits.check(splits.read(where), card, where)
    lists = {split: located(getattr(source, split)) for split in SPLITS}
    names = {split: located(name) for split, name in source.names.items()}
    entries, _ = split_formats.read(
        source.format, lists, [located(name) for name in source.labels], names
    )
    return splits.check(split_formats.arranged(entries, card)[0], card, lists["train"].parent)
