"""Data set cards: what a data set is, which clips it holds, and the digest that its stores are keyed by. Torch-free."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fsar_core.config import Card, DemoVideos, load
from fsar_core.data import demo, splits
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.provenance import digest


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


def card_names(folder: Path) -> list[str]:
    """Data sets for which `folder` (workflow/datasets) holds a card."""
    return sorted(path.parent.name for path in Path(folder).glob("*/card.yaml"))


def load_dataset(folder: Path, name: str, data_root: Path, demo_videos: DemoVideos, seed: int) -> Dataset:
    """Read a card and its split list. Looks at no video.

    Args:
        folder: workflow/datasets.
        demo_videos, seed: sizes and seed of the demo videos; they belong to the identity of a card with a generator.
    Raises:
        FsarError: unknown name, invalid card, unreadable or inconsistent split list.
    """
    known = card_names(folder)
    if name not in known:
        raise FsarError(f"no card for data set '{name}' in {folder}{did_you_mean(name, known)}")
    card_file = Path(folder) / name / "card.yaml"
    card = load(Card, card_file)
    root = Path(data_root) / card.folder
    identity: dict = {"name": name, "folder": card.folder, "flip": card.flip}
    if card.generator:
        entries = splits.check(demo.split_table(card.generator, demo_videos.clips), card, card_file)
        sizes = demo_videos.model_dump(mode="json", exclude={"jobs"})
        identity["generator"] = [card.generator, demo.VERSION, seed, sizes]
    else:
        split_file = Path(folder) / name / card.split.file
        split_file = split_file if split_file.exists() else root / card.split.file
        entries = splits.check(splits.read(split_file, card.split.format), card, split_file)
        text = entries.to_csv(sep="\t", index=False, lineterminator="\n")
        identity["clips"] = hashlib.sha256(text.encode()).hexdigest()
    found = digest(identity)
    # Demo videos of other sizes or seeds lie beside each other.
    videos = root / found if card.generator else root
    return Dataset(name=name, card=card, folder=videos, clips=entries, digest=found)
