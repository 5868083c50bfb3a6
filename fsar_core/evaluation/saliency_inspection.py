"""What `fsar inspect-saliency` takes out of a saliency store for figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fsar_core.data import intervals as action_intervals
from fsar_core.data.augmentation import apply, draw
from fsar_core.data.index import index_identity, read_index
from fsar_core.errors import FsarError
from fsar_core.evaluation import arrays
from fsar_core.specs import SaliencySpec
from fsar_core.storage.bindings import check_index
from fsar_core.storage.places import Place
from fsar_core.store_kinds.frames import frames_taken
from fsar_core.stores.reader import StoreReader


def inspect_saliency(
    spec: SaliencySpec,
    store: Place,
    frames: Place,
    index: Place,
    intervals: Path | None,
    examples: int,
    out: Path,
) -> int:
    """Take actionness out of a saliency store, write it as .npz and return the number of clips.

    Args:
        store: the saliency store.
        frames: the frame store, for pictures.
        index: the clip index.
        intervals: in which frames of its clips the action is; None if the data set does not say.
        examples: test clips that are shown.
    Raises:
        FsarError: files are missing, damaged or do not belong together.
    """
    scores = StoreReader(store, "actionness", spec)
    pictures = StoreReader(frames, "frames", spec.features.frames)
    acting = None if intervals is None else action_intervals.read(intervals)
    clips = read_index(index)
    check_index(index, index_identity(clips), [scores, pictures])
    found = taken_out(spec, scores, pictures, clips, acting, examples)
    arrays.save(out, {"dataset": np.array(spec.dataset), **found})
    return len(found["rows"])


def taken_out(
    spec: SaliencySpec,
    store: StoreReader,
    frames: StoreReader,
    index: pd.DataFrame,
    intervals: Mapping[str, tuple[int, int]] | None,
    examples: int,
) -> dict[str, np.ndarray]:
    """Actionness of all sound clips in the test view, and pictures of a few test clips, evenly spaced in the split.

    Args:
        intervals: by path, the frames of a clip in which its action is; None: nothing is said of any.
        examples: how many are shown.

    Returns:
        rows int64 [clips], splits and classes (text) [clips], actionness float32 [clips frames]; with intervals inside bool
        [clips frames], all True for clips of which nothing is said; for the shown ones under "<number>.": row, frames uint8
        [frames 3 height width].
    """
    sound = index[~index.row.isin(store.failed)]
    rows = sound.row.to_numpy()
    test = sound.row[sound.split == "test"].to_numpy()
    if examples and not len(test):
        raise FsarError(f"{store.store}: no sound test clip to show")
    found = {
        "rows": rows,
        "splits": sound.split.to_numpy(str),
        "classes": sound["class"].to_numpy(str),
        "actionness": store.read(rows),
    }
    if intervals is not None:
        found["inside"] = np.stack(
            [_inside(spec, clip, intervals) for clip in sound.to_dict("records")]
        )
    for number, row in enumerate(
        test[np.linspace(0, len(test) - 1, min(examples, len(test))).round().astype(int)]
    ):
        clip = frames.read_clip(int(row))
        crop = spec.features.crop
        found |= {
            f"{number}.row": np.array(row),
            f"{number}.frames": apply(clip, draw(None, clip.shape[-2], crop), crop).numpy(),
        }
    return found


def _inside(spec: SaliencySpec, clip: dict, intervals: Mapping[str, tuple[int, int]]) -> np.ndarray:
    """bool [frames]: which of the stored frames lie in the action."""
    start, end = intervals.get(clip["path"], (0, int(clip["frames"])))
    taken = frames_taken(spec.features.frames, clip)[0]
    return (taken >= start) & (taken < end)
