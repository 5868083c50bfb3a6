"""SEEM with a text as its prompt: a frame and a text in, one mask out. Inference only.

Source: Zou et al., NeurIPS 2023 ("Segment Everything Everywhere All at Once"), versions 0 and 1, which are the same function
for one text. A mask always comes back, also for what the frame does not show: nothing in SEEM rejects a text.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from fsar_core.mask_providers.seem import images as pictures
from fsar_core.mask_providers.seem.config import SeemConfig
from fsar_core.mask_providers.seem.focalnet import FocalNet
from fsar_core.mask_providers.seem.language_encoder import LanguageEncoder, Text
from fsar_core.mask_providers.seem.mask_decoder import MaskDecoder, similarity
from fsar_core.mask_providers.seem.pixel_decoder import PixelDecoder


class SEEM(nn.Module):
    """Backbone, pixel decoder, language encoder, mask decoder.

    Half precision: run under `torch.autocast(device.type, torch.bfloat16)`, or convert the whole module.
    """

    def __init__(self, config: SeemConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = FocalNet(config)
        self.pixel_decoder = PixelDecoder(config)
        self.language_encoder = LanguageEncoder(config)
        self.mask_decoder = MaskDecoder(config)

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Text:
        """A row a prompt; needed once for all frames of a class. FsarError for a prompt without text."""
        return self.language_encoder(prompts)

    @torch.no_grad()
    def forward(
        self, images: Num[Tensor, "batch 3 height width"], text: Text, size: int = pictures.SIZE
    ) -> tuple[Float[Tensor, "batch height width"], Float[Tensor, " batch"]]:
        """
        Args:
            images: RGB, 0..255, uint8 or floating, of any one size.
            text: a row an image.
            size: pixels of the short side that the network works at.

        Returns:
            Mask logits (inside from 0) at the images' size and the cosine (-1..1) of the chosen query with the text; float32.
        """
        if len(text) != len(images):
            raise ValueError(
                f"{len(text)} texts for {len(images)} images; expected one each (`Text.take`)"
            )
        seen = pictures.resized(images, size)
        logits, score = self.ground(
            pictures.normalised(seen, self.mask_decoder.class_embed.dtype), text
        )
        masks = pictures.restored(logits, tuple(seen.shape[-2:]), tuple(images.shape[-2:]))
        return masks.float(), score.float()

    def ground(
        self, inputs: Float[Tensor, "batch 3 height width"], text: Text
    ) -> tuple[Float[Tensor, "batch h w"], Float[Tensor, " batch"]]:
        """Logits of stride 4 and score of the query that is nearest to the text, for normalised and padded images."""
        memories, finest = self.pixel_decoder(self.backbone(inputs))
        features = self.pixel_decoder.mask_features
        small = features.resized(finest, [tuple(memory.shape[-2:]) for memory in memories])
        found = self.mask_decoder(memories, small, text)
        score, best = similarity(found.meaning, text.sentence).max(dim=1)
        chosen = found.mask[torch.arange(len(best), device=best.device), best]
        return features.mask(finest, chosen), score
