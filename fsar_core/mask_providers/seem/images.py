"""Frames to a network's input, and masks back to the frames' size.

Source: SEEM's evaluation on RefCOCO: short side to 512 pixels (the long one at most 1024), colours normalised, then zeros to
the right and below up to multiples of 32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

SIZE = 512  # short side in pixels
LONGEST = 2  # times the short side
STRIDE = 32
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of RGB from 0 to 255


def test_size(height: int, width: int, size: int = SIZE) -> tuple[int, int]:
    """Height and width with a short side of `size`, or less where the long one would pass LONGEST times that."""
    scale = min(size / min(height, width), LONGEST * size / max(height, width))
    return int(height * scale + 0.5), int(width * scale + 0.5)


def resized(images: Tensor, size: int = SIZE) -> Tensor:
    """[batch 3 height width] at the test size, bilinear with antialiasing; uint8 stays uint8 (as Pillow resizes)."""
    return resize(
        images,
        list(test_size(*images.shape[-2:], size)),
        InterpolationMode.BILINEAR,
        antialias=True,
    )


def normalised(images: Tensor, dtype: torch.dtype) -> Float[Tensor, "batch 3 height width"]:
    """Colours from 0..255 to mean 0 and deviation 1, then zeros at the right and below to multiples of 32."""
    exact = torch.promote_types(dtype, torch.float32)
    mean, std = (
        torch.tensor(x, dtype=exact, device=images.device).view(3, 1, 1) for x in (MEAN, STD)
    )
    height, width = images.shape[-2:]
    return F.pad((images.to(exact) - mean) / std, (0, -width % STRIDE, 0, -height % STRIDE)).to(
        dtype
    )


def restored(
    logits: Float[Tensor, "batch h w"], seen: tuple[int, int], wanted: tuple[int, int]
) -> Float[Tensor, "batch height width"]:
    """Mask logits of stride 4 at the size of the frames, in single precision or better.

    Bilinear to the padded input, cut to the part with an image in it (`seen`: its height and width), then bicubic with
    antialiasing to `wanted`.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))[:, None]
    whole = F.interpolate(logits, scale_factor=4.0, mode="bilinear", align_corners=False)
    cut = whole[..., : seen[0], : seen[1]]
    return F.interpolate(cut, wanted, mode="bicubic", align_corners=False, antialias=True)[:, 0]
