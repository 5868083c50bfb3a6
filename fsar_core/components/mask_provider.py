"""The base class of mask providers, what they are given of a clip, and what they return."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fsar_core.components.base import Component


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
        score: float32 [view frames], how well what was found fits the prompt, by the provider's own measure; None if it
            `has_scores` is False.
    """

    masks: np.ndarray
    score: np.ndarray | None = None


class MaskProvider(Component):
    """Produces instance masks of training clips, by reading annotations or running a network.

    The job that fills a masks store passes the constructor those parameters in `supplied` that its
    signature has. All others come from the preset.
    """

    supplied = ("folder", "source", "frames", "weights", "prompts", "device", "batch_frames")

    version: ClassVar[int] = 1
    """Part of every masks store's key; raised by hand when masks change."""

    needs_frames: ClassVar[bool] = False
    """Whether `ClipFrames.frames` is filled; otherwise masks come with the data set (`masks` in its card)."""

    prompted: ClassVar[bool] = False
    """Whether masks depend on the text of the class."""

    has_scores: ClassVar[bool] = False
    """Whether every mask comes with a score."""

    loads: ClassVar[Literal["file", "folder"] | None] = None
    """What `weights` in the preset names; None for a provider without weights."""

    @abstractmethod
    def forward(self, clips: Sequence[ClipFrames]) -> list[ClipMasks | str]:
        """Return the masks of each clip, or why it has none."""
