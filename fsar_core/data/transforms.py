"""Geometry of frames: decoded size -> stored square -> crop. PIL's antialiased bilinear, as training code resizes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fsar_core.errors import FsarError


def fit_square(frames: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Stored square of decoded frames.

    Args:
        frames: uint8 [frames height width channels]
        fit: `crop` resizes the short side to `size` and cuts the centre; `squash` resizes both sides.
    Returns:
        uint8 [frames size size channels]
    """
    height, width = frames.shape[1:3]
    if fit == "squash":
        target = (size, size)
    elif fit == "crop":
        scale = size / min(height, width)
        target = (max(size, round(width * scale)), max(size, round(height * scale)))
    else:
        raise FsarError(f"unknown fit '{fit}'; valid: crop, squash")
    if target != (width, height):
        resized = [np.asarray(Image.fromarray(f).resize(target, Image.Resampling.BILINEAR)) for f in frames]
        frames = np.stack(resized)
    return centre_crop(frames, size)


def centre_crop(frames: np.ndarray, size: int) -> np.ndarray:
    """The central size x size pixels of [... height width channels]."""
    height, width = frames.shape[-3:-1]
    if size > min(height, width):
        raise FsarError(f"cannot crop {size} pixels from frames of {height} x {width}")
    top, left = (height - size) // 2, (width - size) // 2
    return frames[..., top : top + size, left : left + size, :]
