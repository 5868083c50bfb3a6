"""Geometry of frames: decoded size -> stored square -> crop. PIL's antialiased bilinear, as training code resizes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fsar_core.errors import FsarError


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Scale samples of 16 bits to the nearest of 256 levels: uint8 of value / 257, so that 65535 is 255.

    Example:
        >>> eight_bits(np.array([0, 128, 129, 257, 65535], np.uint16)).tolist()
        [0, 0, 1, 1, 255]
    """
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


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
        box = (0, 0, width, height)
    elif fit == "crop":
        # Only what the centre is made of is resized: the same pixels, to a grey level, as those of the whole frame.
        scale = size / min(height, width)
        tall, wide = max(size, round(height * scale)), max(size, round(width * scale))
        top, left = (tall - size) // 2, (wide - size) // 2
        if (tall, wide) == (height, width):
            return frames[:, top : top + size, left : left + size]
        box = (
            left * width / wide,
            top * height / tall,
            (left + size) * width / wide,
            (top + size) * height / tall,
        )
    else:
        raise FsarError(f"unknown fit '{fit}'; valid: crop, squash")
    if (size, size) == (height, width):
        return frames
    pictures = (
        Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR, box=box)
        for frame in frames
    )
    return np.stack([np.asarray(picture) for picture in pictures])
