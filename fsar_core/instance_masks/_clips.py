"""What a mask provider is given of a clip, and what it gives back."""

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
        prompt: the text of its class, in plain words.
    """

    record: dict
    taken: np.ndarray
    frames: np.ndarray | None
    prompt: str


@dataclass(frozen=True)
class ClipMasks:
    """The masks of a clip.

    Attributes:
        masks: uint8 [view frames height width], 255 where an acting instance surely is.
        score: float32 [view frames], how well what was found fits the prompt, by the provider's own measure; None where it has
            none (`SCORES` of its module).
    """

    masks: np.ndarray
    score: np.ndarray | None = None
