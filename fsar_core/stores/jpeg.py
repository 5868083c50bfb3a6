"""Frames as JPEG: a ninth or so of their size, with an error of about one grey level; for those who have not the disk.

A clip and view is one row of bytes, of the length that its frames have uncompressed: the lengths of its JPEG files (uint32 each,
little-endian), the files one behind the other, zeros. The zeros cost nothing: Zarr compresses them. Any JPEG reader opens a file.
Quality 95 without subsampling of the colours; the decoder's version stands in every receipt.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

QUALITY = 95


def encode(frames: np.ndarray) -> np.ndarray:
    """uint8 [frames height width 3] to uint8 [frames * height * width * 3].

    Raises:
        ValueError: they do not get smaller.
    """
    files = []
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=QUALITY, subsampling=0)
        files.append(stream.getvalue())
    packed = np.array([len(file) for file in files], "<u4").tobytes() + b"".join(files)
    if len(packed) > frames.nbytes:
        raise ValueError(f"frames of {frames.nbytes} bytes are {len(packed)} bytes as JPEG; set `compression: zstd`")
    out = np.zeros(frames.nbytes, np.uint8)
    out[: len(packed)] = np.frombuffer(packed, np.uint8)
    return out


def decode(packed: np.ndarray, out: np.ndarray) -> None:
    """Fill `out`, uint8 [frames height width 3], with what `encode` packed.

    Raises:
        ValueError: other bytes, or frames of another size.
    """
    lengths = packed[: 4 * len(out)].view("<u4").tolist()
    start = 4 * len(out)
    if not all(lengths) or start + sum(lengths) > len(packed):
        raise ValueError("no row of JPEG files")
    for frame, length in zip(out, lengths):
        with Image.open(io.BytesIO(packed[start : start + length].tobytes()), formats=["JPEG"]) as picture:
            if (picture.height, picture.width, 3) != frame.shape or picture.mode != "RGB":
                raise ValueError(f"a JPEG of {picture.width} x {picture.height} {picture.mode}, expected {frame.shape}")
            frame[...] = np.asarray(picture)
        start += length
