"""SEEM (Zou et al., NeurIPS 2023): instance masks from a frame and a text, by an official checkpoint.

Source: Zou et al., "Segment Everything Everywhere All at Once"; I2ST (Qian et al.), 3.3, takes it for its teacher. I2ST does not
say which checkpoint, which resolution and whether masks are soft: those are parameters here.

The parts of the network are the modules of this package; `checkpoints` reads the published files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from fsar_core.components.parameters import Fraction, Precision
from fsar_core.errors import FsarError
from fsar_core.mask_providers._prompted import PromptedTeacher
from fsar_core.mask_providers.seem import checkpoints


class Seem(PromptedTeacher):
    """A mask for every frame, also for one that does not show what the text says; the score (-1 to 1) is then low.

    Args:
        checkpoint: which published network the weights are of.
        size: pixels of the short side that the network works at. The official evaluation has 512.
        threshold, precision, template: see `PromptedTeacher`. The official evaluation runs in fp16 and cuts at 0.5.
        weights: the checkpoint's file.

    Raises:
        FsarError: an unknown option, a file with other weights.
    """

    needs_frames = True
    prompted = True
    has_scores = True  # the cosine of the chosen query with the text
    loads = "file"

    def __init__(
        self,
        checkpoint: Literal[
            "seem_focalt_v1", "seem_focall_v1", "seem_focalt_v0", "seem_focall_v0"
        ] = "seem_focalt_v1",
        size: Annotated[int, Ge(32), Le(2048)] = 512,
        threshold: Fraction | None = None,
        precision: Precision = "float32",
        template: str = "{class}",
        weights: Path | None = None,
        prompts: Sequence[str] = (),
        device: torch.device | str = "cpu",
        batch_frames: int = 8,
    ) -> None:
        super().__init__(precision, threshold, template, prompts, device, batch_frames)
        self.size = size
        self.network = (
            None if weights is None else checkpoints.load(checkpoint, weights).to(self.device)
        )
        self.texts = (
            None if weights is None or not prompts else self.network.encode_text(self.prompts)
        )

    def look(self, frames: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        if self.network is None:
            raise FsarError(
                "seem: no checkpoint; name its file in the preset (`masks: {weights: ...}`)"
            )
        return self.network(frames, self.texts.take(texts), self.size)
