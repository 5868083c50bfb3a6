"""Which frames of a clip are looked at.

Source: TSN segments (DMGAL IV-B: "randomly sample 8 frames uniformly"); the rules of public code in exact form:
`segment_random` and `segment_centre` cut [0, total) into `count` equal real-valued segments; `linspace` is the test rule
of TRX; `interval` is MoLo's rule for Kinetics. Differs: segments keep the remainder of total / count, which MoLo's code
drops, a clip shorter than `count` repeats frames (nearest index) instead of failing, and `interval` spreads over the whole
of a clip whose window is not longer than one step (below 40 frames at the defaults), where MoLo's rule runs backwards.
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
    edges = np.arange(count + 1) * (total / count)
    if policy == "segment_centre":
        chosen = np.floor((edges[:-1] + edges[1:]) / 2)
    elif policy == "segment_random":
        chosen = np.floor(edges[:-1] + rng.random(count) * np.diff(edges))
    elif policy == "linspace":
        start, end = (1, total - 2) if total - 3 >= count else (0, total - 1)
        chosen = np.floor(np.linspace(start, end, count))
    elif policy == "interval":
        length = count * rate * fps / target_fps
        length = length if length <= total else count * (total // count)
        latest = max(total - length, 0) + 1
        start = latest * (rng.random() if rng is not None else 0.5)
        first, last = (start, start + length - rate) if length > rate else (0, total - 1)
        chosen = np.floor(np.linspace(first, last, count))
    else:
        raise FsarError(f"unknown frame policy '{policy}'; valid: interval, linspace, segment_centre, segment_random")
    return np.clip(chosen, 0, total - 1).astype(np.int64)
