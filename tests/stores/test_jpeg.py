"""Frames as JPEG: nearly the same pictures in a fraction of the bytes, and nothing else passes for them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fsar_core.data import demo
from fsar_core.stores import jpeg


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    clip, _ = demo.draw_clip(
        "demo_spatial", demo.class_names("demo_spatial")[0], seed=0, index=0, height=96, width=96
    )
    # Without the grain of the drawing, which no camera's codec leaves.
    return np.stack(
        [
            np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(1)))
            for frame in clip[::8]
        ]
    )


def test_round_trip(frames):
    packed, out = jpeg.encode(frames), np.zeros_like(frames)
    assert packed.shape == (frames.nbytes,) and packed.dtype == np.uint8
    jpeg.decode(packed, out)
    error = np.abs(out.astype(int) - frames).mean()
    assert 0 < error < 2
    lengths = packed[: 4 * len(frames)].view("<u4")
    assert (
        lengths.sum() < 0.25 * frames.nbytes
    )  # 96 pixels: JPEG's tables alone are 2 percent of a frame
    assert not packed[4 * len(frames) + lengths.sum() :].any()


def test_a_row_holds_plain_jpeg_files(frames):
    packed = jpeg.encode(frames)
    start = 4 * len(frames) + int(packed[:4].view("<u4")[0])
    length = int(packed[4:8].view("<u4")[0])
    with Image.open(io.BytesIO(packed[start : start + length].tobytes())) as picture:
        assert picture.format == "JPEG" and picture.size == (96, 96)
        assert picture.layer == [
            (1, 1, 1, 0),
            (2, 1, 1, 1),
            (3, 1, 1, 1),
        ]  # no component is subsampled
        out = np.zeros_like(frames)
        jpeg.decode(packed, out)
        np.testing.assert_array_equal(np.asarray(picture), out[1])


def test_a_flat_frame_is_kept(frames):
    flat = np.full_like(frames, 77)
    out = np.zeros_like(flat)
    jpeg.decode(jpeg.encode(flat), out)
    np.testing.assert_array_equal(out, flat)


def test_what_does_not_get_smaller_is_refused():
    noise = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    with pytest.raises(
        ValueError, match=r"frames of 384 bytes are [0-9]+ bytes as JPEG; set `compression: zstd`"
    ):
        jpeg.encode(noise)


@pytest.mark.parametrize("damage", ["zeros", "lengths", "other size", "grey", "png"])
def test_other_bytes_are_refused(frames, damage):
    packed = jpeg.encode(frames)
    if damage == "zeros":
        packed[:] = 0
    elif damage == "lengths":
        packed[3] = 255
    else:
        stream, picture = io.BytesIO(), Image.fromarray(frames[0])
        picture = {
            "other size": picture.resize((48, 96)),
            "grey": picture.convert("L"),
            "png": picture,
        }[damage]
        picture.save(stream, "PNG" if damage == "png" else "JPEG")
        data = np.frombuffer(stream.getvalue(), np.uint8)
        packed[:4] = np.array([len(data)], "<u4").view(np.uint8)
        packed[4 * len(frames) : 4 * len(frames) + len(data)] = data
    with pytest.raises((ValueError, OSError)):
        jpeg.decode(packed, np.zeros_like(frames))
