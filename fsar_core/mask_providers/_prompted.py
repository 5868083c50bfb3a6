"""What all teachers share that look at frames and are prompted with the class: batches, precision, and soft masks in 8 bits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from fsar_core.components.mask_provider import ClipFrames, ClipMasks, MaskProvider
from fsar_core.components.parameters import Fraction, Precision
from fsar_core.data.class_prompts import CLASS, prompt
from fsar_core.errors import FsarError

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class PromptedTeacher(MaskProvider):
    """A network that finds in a frame what a text says.

    Prompts are encoded once, for all clips of a job. Frames are looked at in batches that pay no heed to clips, and a frame that
    several views of a clip have in common is looked at once.
    """

    def __init__(
        self,
        precision: Precision,
        threshold: Fraction | None,
        template: str,
        prompts: Sequence[str],
        device: torch.device | str,
        batch_frames: int,
    ) -> None:
        """
        Args:
            precision: of the network's matrix products: a key of PRECISIONS.
            threshold: null: soft masks, 255 times the probability; a probability: 255 where it is exceeded, else 0.
            template: the prompt, with {class} where the class text goes.
            prompts: class texts of all clips that will be seen.
            batch_frames: frames of one forward pass.
        """
        super().__init__()
        if CLASS not in template:
            raise FsarError(
                f"{self.name}: the template '{template}' has no {CLASS}; say where the class text goes"
            )
        self.threshold, self.dtype = threshold, PRECISIONS[precision]
        self.device, self.batch_frames = torch.device(device), batch_frames
        self.place = {text: number for number, text in enumerate(prompts)}
        self.prompts = [prompt(text, template) for text in prompts]

    @abstractmethod
    def look(
        self, frames: UInt8[Tensor, "frames 3 height width"], texts: Int64[Tensor, " frames"]
    ) -> tuple[Float[Tensor, "frames height width"], Float[Tensor, " frames"]]:
        """Mask logits and scores of frames, each for the prompt of its number."""

    @torch.inference_mode()
    def forward(self, clips: Sequence[ClipFrames]) -> list[ClipMasks]:
        """Masks and scores of clips, in their order."""
        if not clips:
            return []
        frames, texts, views = [], [], []
        for clip in clips:
            _, first, which = np.unique(clip.taken, return_index=True, return_inverse=True)
            frames.append(clip.frames.reshape(-1, *clip.frames.shape[2:])[first])
            texts.append(np.full(len(first), self.place[clip.prompt]))
            views.append(which.reshape(clip.taken.shape))
        masks, scores = self._in_batches(np.concatenate(frames), np.concatenate(texts))
        ends = np.cumsum([len(part) for part in frames])[:-1]
        parts = zip(np.split(masks, ends), np.split(scores, ends), views, strict=True)
        return [ClipMasks(mask[view], score[view]) for mask, score, view in parts]

    def _in_batches(self, frames: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = []
        for start in range(0, len(frames), self.batch_frames):
            part = slice(start, start + self.batch_frames)
            pictures = (
                torch.from_numpy(frames[part]).to(self.device).permute(0, 3, 1, 2).contiguous()
            )
            found.append(self._seen(pictures, torch.from_numpy(texts[part]).to(self.device)))
        return tuple(np.concatenate(parts) for parts in zip(*found))

    def _seen(self, pictures: Tensor, texts: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """uint8 [frames height width] and float32 [frames]."""
        try:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                logits, scores = self.look(pictures, texts)
        except torch.OutOfMemoryError:
            raise FsarError(
                f"{self.name}: {len(pictures)} frames of one forward pass do not fit the GPU's memory; lower `batch_frames` of "
                f"the preset's masks (now {self.batch_frames}), or `size`"
            ) from None
        if not (logits.isfinite().all() and scores.isfinite().all()):
            raise FsarError(
                f"{self.name}: masks that are no numbers; the network's activations overflow: set `precision: bf16` or `float32` "
                f"in the parameters of the preset's masks, or check its weights"
            )
        chance = logits.float().sigmoid()
        chance = chance if self.threshold is None else (chance > self.threshold).float()
        return (chance * 255).round().to(torch.uint8).cpu().numpy(), scores.float().cpu().numpy()
