"""CLIPSeg (Lueddecke and Ecker, CVPR 2022): instance masks from a frame and a text, by the library transformers.

Source: Lueddecke and Ecker, "Image Segmentation Using Text and Image Prompts"; network, tokenizer and normalisation are those of
transformers. A teacher for those who have no checkpoint of SEEM. Needs the extra `clipseg` of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from fsar_core.components.parameters import Fraction, Precision
from fsar_core.errors import FsarError, first_line
from fsar_core.mask_providers._prompted import PromptedTeacher

PUBLISHED = "CIDAS/clipseg-rd64-refined"


class CLIPSeg(PromptedTeacher):
    """How likely every pixel belongs to what the text says; may be nothing.

    Args:
        size: pixels of the square that the network works at, a multiple of its patches; published networks were trained at 352.
        threshold, precision, template: see `PromptedTeacher`.
        weights: a folder as transformers writes it (config.json, model.safetensors, preprocessor_config.json, the tokenizer's
            files). Nothing is downloaded.

    Raises:
        FsarError: transformers is not installed, a folder that lacks something or holds another network.
    """

    needs_frames = True
    prompted = True
    has_scores = True  # the cosine of the frame's and the text's vectors in CLIP's space
    loads = "folder"

    def __init__(
        self,
        size: Annotated[int, Ge(32), Le(2048)] = 352,
        threshold: Fraction | None = None,
        precision: Precision = "float32",
        template: str = "{class}",
        weights: Path | None = None,
        prompts: Sequence[str] = (),
        device: torch.device | str = "cpu",
        batch_frames: int = 8,
    ) -> None:
        super().__init__(precision, threshold, template, prompts, device, batch_frames)
        self.size, self.network, self.texts = {"height": size, "width": size}, None, None
        if weights is not None:
            self.network, self.processor = _load(Path(weights))
            self.network.to(self.device)
            self._check_size(size)
            if prompts:
                self.texts = self._encoded(self.prompts)

    def look(self, frames: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        if self.network is None:
            raise FsarError(
                "clipseg: no weights; name their folder in the preset (`masks: {weights: ...}`)"
            )
        seen = self.processor.image_processor(
            frames, size=self.size, return_tensors="pt"
        ).pixel_values
        found = self.network(
            pixel_values=seen.to(self.device), conditional_embeddings=self.texts[texts]
        )
        # The decoder leaves whole patches; its logits are as large as what it saw.
        logits = F.interpolate(
            found.logits.float()[:, None], frames.shape[-2:], mode="bilinear", antialias=True
        )[:, 0]
        return logits, F.cosine_similarity(found.pooled_output.float(), self.texts[texts])

    @torch.inference_mode()
    def _encoded(self, prompts: list[str]) -> Tensor:
        """float32 [prompts dim]."""
        words = self.processor.tokenizer(
            prompts, padding=True, truncation=True, return_tensors="pt"
        ).to(self.device)
        return self.network.get_conditional_embeddings(
            len(prompts), words["input_ids"], attention_mask=words["attention_mask"]
        ).float()

    def _check_size(self, size: int) -> None:
        patch = self.network.config.vision_config.patch_size
        if size % patch:
            raise FsarError(
                f"clipseg: size {size}; expected a multiple of the network's patches of {patch} pixels"
            )


def _load(folder: Path):
    """(network in float32, processor) from a local folder; only safetensors are read."""
    try:
        from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor
        from transformers.utils import logging
    except ImportError:
        raise FsarError(
            "the provider 'clipseg' needs the library transformers: `pip install -e '.[clipseg]' -c constraints.txt`"
        ) from None
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what is wrong is told below, in one line
    where = dict(local_files_only=True)
    try:
        network, told = CLIPSegForImageSegmentation.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **where
        )
        processor = CLIPSegProcessor.from_pretrained(folder, **where)
    except Exception as error:  # OSError, ValueError, KeyError, SafetensorError ...
        reason = first_line(error, 160)
        raise FsarError(
            f"{folder}: no CLIPSeg as transformers writes it ({reason}); expected config.json, model.safetensors, "
            f"preprocessor_config.json and the tokenizer's files, as in {PUBLISHED}"
        ) from None
    # transformers fills what a file lacks with random numbers.
    wrong = [
        f"{what.removesuffix('_keys')} '{sorted(map(str, keys))[0]}'"
        for what, keys in told.items()
        if keys
    ]
    if wrong:
        raise FsarError(f"{folder}: no weights of its config.json's network: {', '.join(wrong)}")
    return network.eval().requires_grad_(False), processor
