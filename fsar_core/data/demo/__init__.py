"""Demo videos: three data sets that the pipeline draws itself, so that everything runs without a download.

`demo_temporal` is to SSv2 what `demo_spatial` is to UCF101 and Kinetics: in the first the order of the frames decides
(24 changes of state, each forwards and backwards), in the second objects and scene do. `demo_partial` has the actions of
the first, each in a part of its clip alone, and says in which (`interval`); the rest shows the scene without it. All have
48 classes, 24 for training, 8 for validation and 16 for testing, no class in two splits, the two of a pair always in the
same one. The clips are real H.264 files with exact instance masks. A clip is a function of its data set, class, seed and
index alone.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from fsar_core.data.demo import spatial, temporal, video
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.runtime.seeding import rng

DATASETS = ("demo_spatial", "demo_temporal", "demo_partial")
ORDERED = ("demo_partial", "demo_temporal")  # the order of the frames decides
PARTIAL = "demo_partial"  # the action takes a part of its clip
SPLITS = ("train", "val", "test")
# Bumped by hand when the same arguments give other clips.
VERSION = 4
CRF = (20, 28)  # least and most compression of a clip


def class_names(dataset: str) -> list[str]:
    """All 48 class names, training classes first. FsarError for an unknown data set."""
    return [name for names in class_splits(dataset).values() for name in names]


def class_splits(dataset: str) -> dict[str, list[str]]:
    """Names of the classes of `train`, `val` and `test`. FsarError for an unknown data set."""
    if dataset in ORDERED:
        return {
            s: [n for p in temporal.PAIRS if p.split == s for n in (p.forward, p.backward)]
            for s in SPLITS
        }
    if dataset == "demo_spatial":
        return {s: [kind.name for kind in spatial.KINDS if kind.split == s] for s in SPLITS}
    raise FsarError(f"unknown demo data set '{dataset}'{did_you_mean(dataset, DATASETS)}")


def pairs(dataset: str) -> list[tuple[str, str]]:
    """Pairs of classes that are each other's reverse; none in demo_spatial. FsarError for an unknown data set."""
    class_splits(dataset)
    return [(pair.forward, pair.backward) for pair in temporal.PAIRS] if dataset in ORDERED else []


def slug(name: str) -> str:
    """A class name as the name of a folder: lower-case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def draw_clip(
    dataset: str,
    class_name: str,
    seed: int,
    index: int,
    frames: int = 32,
    height: int = 96,
    width: int = 128,
) -> tuple[np.ndarray, np.ndarray]:
    """Clip number `index` of a class, before compression.

    Returns:
        video: uint8 `[frames height width 3]`, RGB.
        masks: uint8 `[frames height width]`, which acting instance (1, 2, ...) is visible there; 0 for the rest.

    Raises:
        FsarError: unknown data set or class.
    """
    kind, backwards = _find(dataset, class_name)
    random = rng(seed, dataset, class_name, index)
    if dataset in ORDERED:
        during = _forward_interval(dataset, class_name, seed, index, frames)
        clip, masks = temporal.draw(kind, random, frames, height, width, during)
    else:
        clip, masks = spatial.draw(kind, random, frames, height, width)
    return (clip[::-1], masks[::-1]) if backwards else (clip, masks)


def interval(
    dataset: str, class_name: str, seed: int, index: int, frames: int = 32
) -> tuple[int, int]:
    """The frames of a clip in which its action is: the first one, and the first one behind it.

    Raises:
        FsarError: unknown data set or class.
    """
    _, backwards = _find(dataset, class_name)
    start, end = _forward_interval(dataset, class_name, seed, index, frames) or (0, frames)
    return (frames - end, frames - start) if backwards else (start, end)


def _forward_interval(
    dataset: str, class_name: str, seed: int, index: int, frames: int
) -> tuple[int, int] | None:
    """That of the drawing process, before a clip is turned backwards; None where the action fills the clip."""
    if dataset != PARTIAL:
        return None
    return temporal.interval(rng(seed, dataset, class_name, index, "interval"), frames)


def clip_paths(class_name: str, index: int) -> tuple[str, str]:
    """Where a clip and its masks lie below the data set's folder, as POSIX paths."""
    return (
        f"videos/{slug(class_name)}/clip_{index:04d}.mp4",
        f"masks/{slug(class_name)}/clip_{index:04d}.png",
    )


def number_of(path: str) -> int:
    """The number of a clip from its path."""
    return int(Path(path).stem.rsplit("_", 1)[1])


def write_clip(
    folder: Path | str,
    dataset: str,
    class_name: str,
    seed: int,
    index: int,
    frames: int = 32,
    height: int = 96,
    width: int = 128,
) -> Path:
    """Draw a clip and write `videos/<slug>/clip_<index>.mp4` and `masks/<slug>/clip_<index>.png` below `folder`.

    The masks go first: where the video is, its masks are. The same arguments give the same bytes.

    Returns:
        the video's path.

    Raises:
        FsarError: unknown data set or class, odd height or width.
    """
    clip, masks = draw_clip(dataset, class_name, seed, index, frames, height, width)
    video_path, masks_path = (Path(folder) / path for path in clip_paths(class_name, index))
    video.write_masks(masks_path, masks)
    crf = int(rng(seed, dataset, class_name, index, "crf").integers(CRF[0], CRF[1] + 1))
    fps = int(rng(seed, dataset, class_name, index, "fps").choice(video.FPS))
    video.write_video(video_path, clip, crf, fps)
    return video_path


def split_table(dataset: str, counts: dict[str, int]) -> pd.DataFrame:
    """One row per clip with split, class, path (POSIX, below the data set's folder) and group.

    Args:
        counts: clips per class for each of train, val and test; clips are numbered from 0.

    The group is empty: every clip is a source of its own.

    Raises:
        FsarError: unknown data set or split, a missing split or a count below 0.
    """
    splits = class_splits(dataset)
    for split in counts:
        if split not in SPLITS:
            raise FsarError(
                f"unknown split '{split}' in the clip counts of {dataset}{did_you_mean(split, SPLITS)}"
            )
    rows = []
    for split, names in splits.items():
        if counts.get(split, -1) < 0:
            raise FsarError(
                f"the clip counts of {dataset} need a number of at least 0 for '{split}'"
            )
        rows += [
            (split, name, clip_paths(name, i)[0], "")
            for name in names
            for i in range(counts[split])
        ]
    return pd.DataFrame(rows, columns=["split", "class", "path", "group"], dtype=str)


def interval_table(
    dataset: str, entries: pd.DataFrame, seed: int, frames: int
) -> dict[str, tuple[int, int]]:
    """Path of every clip of `split_table` -> the frames of its action, as `interval` has them; nothing where actions fill
    clips."""
    if dataset != PARTIAL:
        return {}
    clips = zip(entries["path"], entries["class"])
    return {path: interval(dataset, name, seed, number_of(path), frames) for path, name in clips}


@cache
def _classes(dataset: str) -> dict[str, tuple[temporal.Pair | spatial.Kind, bool]]:
    """Class name -> what draws it, and whether it is played backwards."""
    if dataset == "demo_spatial":
        return {kind.name: (kind, False) for kind in spatial.KINDS}
    forwards = {pair.forward: (pair, False) for pair in temporal.PAIRS}
    return forwards | {pair.backward: (pair, True) for pair in temporal.PAIRS}


def _find(dataset: str, class_name: str) -> tuple[temporal.Pair | spatial.Kind, bool]:
    names = class_names(dataset)
    if class_name not in names:
        # Only near names: a list of all 48 would bury the message.
        near = did_you_mean(class_name, names)
        near = (
            near
            if near.startswith("; did")
            else f"; {len(names)} classes are listed by class_names('{dataset}')"
        )
        raise FsarError(f"{dataset} has no class '{class_name}'{near}")
    return _classes(dataset)[class_name]
