"""Training clips whose masks no head learns from: on them a predicted mask is compared to one that it was never shown.

The clips themselves are trained on like all others; only their masks are kept back. Which ones is a function of the seed and of
the split list, so that training and `fsar inspect` agree without a file between them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fsar_core.runtime.seeding import derive


def held_out(index: pd.DataFrame, share: float | None, seed: int) -> np.ndarray:
    """int64 [clips], ascending rows: of every training class `share` of its listed clips or the next larger number that whole
    source videos give, at least one, and never its last source. None or 0: no clip.

    Clips of one source video show the same objects, so they are kept back together. A clip of no known source is one of its own.
    """
    if not share:
        return np.empty(0, np.int64)
    train = index[index.split == "train"]
    sources = train.group.where(train.group != "", train.path)
    rows = []
    for _, clips in train.row.groupby(train["class"], sort=True):
        of_source = clips.groupby(sources.loc[clips.index])
        order = sorted(of_source.groups, key=lambda source: derive(seed, "held-out masks", source))
        wanted, taken = max(1, round(share * len(clips))), 0
        for source in order[:-1]:
            if taken >= wanted:
                break
            found = of_source.get_group(source)
            rows += found.tolist()
            taken += len(found)
    return np.array(sorted(rows), np.int64)
