"""Whether actionness means something: how it differs between the frames of a clip in which its action is and the others.

Source: own; the measure that goes with SGTM, Eq. 1-2. What counts for a mask is how the frames of one clip rank, so everything
is taken within a clip: the mean inside the action minus the mean outside, and the share of pairs of a frame inside and one
outside in which the one inside is the more salient (the area under the ROC curve; ties count half).
"""

from __future__ import annotations

import numpy as np

GROUPS = ("salient", "ambiguous", "non-salient")


def separation(actionness: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [clips]: mean inside minus mean outside, and the area under the ROC curve of each clip, 0 to 1; NaN for a clip
    with no frame on one of the sides.

    Args:
        actionness: [clips frames].
        inside: bool [clips frames].
    """
    values = actionness.astype(np.float64)
    counts = inside.sum(1), (~inside).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (values * inside).sum(1) / counts[0], (values * ~inside).sum(1) / counts[1]
        first, second = values[:, :, None], values[:, None]
        pairs = inside[:, :, None] & ~inside[:, None]
        won = (first > second) + 0.5 * (first == second)
        area = (won * pairs).sum((1, 2)) / (counts[0] * counts[1])
    return means[0] - means[1], area


def groups(actionness: np.ndarray, salient: int) -> np.ndarray:
    """int64 [... frames]: 0 for the `salient` frames of highest actionness, 2 for as many of lowest, 1 for the ambiguous
    ones between them, as `layers.temporal_masking.TemporalMask` ranks: of equal frames the earlier is more salient."""
    frames = actionness.shape[-1]
    places = np.argsort(np.argsort(-actionness, axis=-1, kind="stable"), axis=-1, kind="stable")
    return np.where(places < salient, 0, np.where(places >= frames - salient, 2, 1))


def shares(evidence: np.ndarray, actionness: np.ndarray, salient: int) -> np.ndarray:
    """float64 [clips 3]: of each clip's evidence the share on its salient, ambiguous and non-salient frames; NaN for a clip
    without any evidence. Both arguments are [clips frames]."""
    group = groups(actionness, salient)
    parts = np.stack(
        [(evidence * (group == number)).sum(1) for number in range(len(GROUPS))], axis=1
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return parts / evidence.sum(1, keepdims=True)
