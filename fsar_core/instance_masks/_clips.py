"""What a mask provider is given of a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClipFrames:
    """A training clip.

    Attributes:
        record: its row of the clip index.
        taken: int64 [view frames], which of its frames are stored.
        frames: uint8 [view frames height width channels] as stored; None for a provider that looks at no picture.
        prompt: the text of its class.
    """

    record: dict
    taken: np.ndarray
    frames: np.ndarray | None
    prompt: str
