"""Which frames of a clip are looked at.

Source: the sampling of DMGAL IV-B ("randomly sample 8 frames uniformly") and of public code, index for index:
`segment_random` and `segment_centre` are the rules of DMGAL's released reader (a random frame of every segment; its middle
frame), `linspace` is TRX's (with its train-time shift of both ends where a generator is given), `interval` is MoLo's rule
for Kinetics. Differs: a clip shorter than `count` repeats its nearest frames (public code fails, or drops the clip without a
word), and `interval` spreads over the whole of a clip whose window is not longer than one step (below 40 frames at the
defaults), where MoLo's rule runs backwards. Frames are counted, not timed: with a variable frame rate, equal steps are
equal numbers of frames.
"""

from __future__ import annotations

import numpy as np

from fsar_core.errors import FsarError


def frame_indices(
    policy: str,
    total: int,
    count: int,
    rng: np.random.Generator | None = None,
    fps: float = 30.0,
    rate: float = 35.0,
    target_fps: float = 12.0,
) -> np.ndarray:
    """`count` non-decreasing frame indices in [0, total).

    Args:
        policy: segment_centre, segment_random (needs `rng`), linspace or interval.
        total: frames of the clip, at least 1.
        fps, rate, target_fps: for `interval` only: a window of count * rate * fps / target_fps frames, centred without
            `rng` and placed at random with one.
    Returns:
        int64 [count]
    """
    if total < 1 or count < 1:
        raise FsarError(f"cannot take {count} frames of a clip with {total}")
    numbers = np.arange(count)
    if policy == "segment_centre":
        # In halves: exact integers, where floats would round x.9999 down.
        chosen = (2 * numbers * total + total - count) // (2 * count)
    elif policy == "segment_random":
        edges = np.arange(count + 1) * total // count
        chosen = edges[:-1] + np.floor(rng.random(count) * np.maximum(np.diff(edges), 1))
    elif policy == "linspace":
        chosen = np.floor(np.linspace(*_ends(total, count, rng), count))
    elif policy == "interval":
        length = count * rate * fps / target_fps
        length = length if length <= total else count * (total // count)
        latest = max(total - length, 0) + 1
        start = latest * (rng.random() if rng is not None else 0.5)
        first, last = (start, start + length - rate) if length > rate else (0, total - 1)
        chosen = np.floor(np.linspace(first, last, count))
    else:
        raise FsarError(
            f"unknown frame policy '{policy}'; valid: interval, linspace, segment_centre, segment_random"
        )
    return np.clip(chosen, 0, total - 1).astype(np.int64)


def _ends(total: int, count: int, rng: np.random.Generator | None) -> tuple[int, int]:
    """First and last frame of TRX's rule: the second and the last but one, or up to 5 frames inwards at random."""
    if total == count:
        return 0, total - 1
    if rng is None:
        start, end = 1, total - 2
    else:
        shift = max(min(5, (total - count) // 2), 0)
        start, end = int(rng.integers(shift + 1)), total - 1 - int(rng.integers(shift + 1))
    return (start, end) if end - start >= count else (0, total - 1)
