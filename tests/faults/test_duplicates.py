"""One video under two names of a split list: the clip index is not made, and the message names both."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fsar_core.data import splits
from fsar_core.errors import FsarError
from tests.builders import ToyDataset, toy_dataset
from tests.faults.test_corruption import verb

pytestmark = pytest.mark.faults

TRAIN, TEST = "videos/train class 00/clip_000.mp4", "videos/test class 00/clip_000.mp4"
LISTED = {  # how the second clip of the list is spelled
    "another case": "videos/train class 00/CLIP_000.mp4",
    "another extension": "videos/train class 00/clip_000.avi",
    "no extension": "videos/train class 00/clip_000",
    "a dot folder": "videos/./train class 00/clip_000.mp4",
    "two slashes": "videos//train class 00/clip_000.mp4",
    "other separators": "videos/train_class_00/clip_000.mp4",
}
LINKED: dict[str, Callable[[Path, Path], None]] = {  # how its file is the first one's
    "a symbolic link": lambda first, second: second.symlink_to(first),
    "a hard link": lambda first, second: os.link(first, second),
}


@pytest.fixture
def dataset(tmp_path) -> ToyDataset:
    return toy_dataset(tmp_path)


def indexed(dataset: ToyDataset, entries: pd.DataFrame) -> None:
    """`fsar index` on this list. FsarError with its message where it is refused."""
    splits.write(dataset.split_file, entries)
    out = dataset.data.parent / "index.tsv"
    problems = dataset.data.parent / "problems.tsv"
    verb("index", card=dataset.card_file, folder=dataset.folder, problems=problems, out=out)


def refused(dataset: ToyDataset, entries: pd.DataFrame, *names: str) -> bool:
    """Whether the list is refused by a line that says all of `names`."""
    try:
        indexed(dataset, entries)
    except FsarError as error:
        message = str(error)
        return "\n" not in message and all(name in message for name in names)
    return False


def listing(dataset: ToyDataset, path: str, split: str = "train") -> pd.DataFrame:
    """The list with one more clip, under this path; in the test split, with a class of that split."""
    row = {"split": split, "class": f"{split} class 00", "path": path, "group": "another source"}
    return pd.concat([dataset.entries, pd.DataFrame([row])], ignore_index=True)


def test_sound_list(dataset):
    indexed(dataset, dataset.entries)


def test_every_spelling(dataset, ledger):
    attempts, detected = 0, 0
    for path in LISTED.values():
        for split in ("train", "test"):
            attempts += 1
            detected += refused(dataset, listing(dataset, path, split), path)
    for link in LINKED.values():
        second = dataset.folder / TEST
        second.unlink()
        link(dataset.folder / TRAIN, second)
        attempts += 1
        detected += refused(dataset, dataset.entries, TRAIN, TEST)
    ledger.add(
        "one file under two names of a list", attempts, detected=detected, wrong=attempts - detected
    )
    assert detected == attempts


def test_source_video_in_two_splits(dataset, ledger):
    entries = dataset.entries.copy()
    entries.loc[entries["class"].isin(["train class 00", "test class 00"]), "group"] = "one source"
    detected = refused(dataset, entries, "one source")
    ledger.add("one source video in two splits", 1, detected=int(detected), wrong=int(not detected))
    assert detected


def test_equal_content_is_reported(dataset, ledger, capsys):
    """A copy is another file, which may be intended: it is reported and not refused."""
    shutil.copy(dataset.folder / TRAIN, dataset.folder / TEST)
    splits.write(dataset.split_file, dataset.entries)
    problems = dataset.data.parent / "problems.tsv"
    from fsar_core.__main__ import main

    words = [
        "index",
        "--card",
        dataset.card_file,
        "--folder",
        dataset.folder,
        "--problems",
        problems,
    ]
    assert main([str(word) for word in (*words, "--out", dataset.data.parent / "index.tsv")]) == 0
    said = "".join(capsys.readouterr())
    detected = "LEAK" in said and TEST in said
    ledger.add(
        "copies of a video in two splits",
        1,
        detected=int(detected),
        wrong=int(not detected),
        note="reported",
    )
    assert detected, said
