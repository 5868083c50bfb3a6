"""CLIP's image tower, ViT-B/16: tokens, twelve blocks, the class token.

Source: Radford et al., ICML 2021; weights by the names of open_clip's pretrained tags (Ilharco et al., OpenCLIP, 2021). As in
D2ST, DMGAL-Adapter's public relative, the feature of a frame is the normed class token (768 numbers); CLIP-FSAR takes its
projection into the space shared with text (512), which is `projection`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from fsar_core.backbones._open_clip import published_file, read_visual_tower
from fsar_core.components.backbone import Backbone
from fsar_core.components.weights import load_strictly
from fsar_core.errors import FsarError
from fsar_core.layers.vision_transformer import QuickGELU, vit_stages

QUICKGELU = ("openai", "dfn2b", "metaclip_400m", "metaclip_fullcc")


class ClipVitB16(Backbone):
    """Input: RGB, normalised with CLIP's mean and std. `tokens` and blocks: 768 x 197 x 1 for a 224-pixel crop, the class token
    first; `pooled`: 768 x 1 x 1, or 512 x 1 x 1 with `projection`. Other crops, multiples of 16, get interpolated positions.

    Args:
        weights: a tag in `published_weights`; a file (a state dict or safetensors, of the whole of CLIP or of its image tower,
            keys as in open_clip and OpenAI's code); or None for random weights.
        weights_root: where the weights of a tag are looked for and downloaded to (a cache folder of huggingface_hub).
        projection: the class token in CLIP's joint space, in place of the token itself.
        activation: of the MLPs. `of_weights`: the one that belongs to the tag, GELU for random weights. A file does not tell its
            own, so with a file it must be named: `quickgelu` for weights of OpenAI, DFN and MetaCLIP, else `gelu`.

    Raises:
        FsarError: an unknown option, an activation that does not belong to the tag or is missing for a file, unreadable or other
            weights, a failed download.
    """

    version = 1
    cuts = (
        "frames",
        "tokens",
        "block1",
        "block2",
        "block3",
        "block4",
        "block5",
        "block6",
        "block7",
        "block8",
        "block9",
        "block10",
        "block11",
        "block12",
        "pooled",
    )
    publisher = "open_clip"
    published_weights = (
        "openai",
        "laion400m_e31",
        "laion400m_e32",
        "laion2b_s34b_b88k",
        "datacomp_l_s1b_b8k",
        "datacomp_xl_s13b_b90k",
        "dfn2b",
        "metaclip_400m",
        "metaclip_fullcc",
    )

    @classmethod
    def published_file(cls, weights: str, root: str | Path | None) -> Path:
        return published_file("ViT-B-16", weights, root)

    def __init__(
        self,
        weights: str | Path | None = None,
        weights_root: str | Path | None = None,
        projection: bool = False,
        activation: Literal["of_weights", "gelu", "quickgelu"] = "of_weights",
    ) -> None:
        act = QuickGELU if _activation(weights, activation) == "quickgelu" else nn.GELU
        state = (
            None
            if weights is None
            else read_visual_tower("ViT-B-16", weights, weights_root, self.published_weights)
        )
        stages = vit_stages(768, 12, 12, 16, 224, act, out_dim=512 if projection else None)
        super().__init__(
            stages,
            mean=(0.48145466, 0.4578275, 0.40821073),
            std=(0.26862954, 0.26130258, 0.27577711),
        )
        if state is not None:
            if not projection:
                state.pop("stages.pooled.proj", None)
            load_strictly(self, state, weights)


def _activation(weights: str | Path | None, asked: str) -> str:
    """The activation of the blocks; FsarError where weights would silently run with another than their own."""
    if weights is None:
        return "gelu" if asked == "of_weights" else asked
    if str(weights) in ClipVitB16.published_weights:
        own = "quickgelu" if str(weights) in QUICKGELU else "gelu"
        if asked not in ("of_weights", own):
            raise FsarError(
                f"clip_vit_b16: the weights '{weights}' were trained with {own}, not with activation='{asked}'"
            )
        return own
    if asked == "of_weights":
        raise FsarError(
            f"clip_vit_b16: the file {weights} does not tell its activation; name it: activation='quickgelu' (OpenAI, DFN, "
            f"MetaCLIP) or 'gelu' (LAION, DataComp)"
        )
    return asked
