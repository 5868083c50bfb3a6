"""Geometry: sizes are exact, the middle stays the middle, and shrinking averages instead of skipping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fsar_core.data.transforms import eight_bits, fit_square
from fsar_core.errors import FsarError


def _ramp(frames: int, height: int, width: int) -> np.ndarray:
    """Channels: row number, column number, frame number."""
    out = np.zeros((frames, height, width, 3), np.uint8)
    out[..., 0] = np.arange(height)[:, None]
    out[..., 1] = np.arange(width)
    out[..., 2] = np.arange(frames)[:, None, None]
    return out


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(5, 90),
    width=st.integers(5, 90),
    size=st.integers(4, 40),
    fit=st.sampled_from(["crop", "squash"]),
)
def test_any_frame_becomes_the_exact_square(height, width, size, fit):
    flat = np.full((2, height, width, 3), (10, 120, 250), np.uint8)
    found = fit_square(flat, size, fit)
    assert found.shape == (2, size, size, 3) and found.dtype == np.uint8
    # A plain picture stays plain: no border is filled in.
    assert (found == np.array([10, 120, 250], np.uint8)).all()


def test_frames_of_the_wanted_size_are_untouched():
    frames = _ramp(3, 20, 20)
    for fit in ("crop", "squash"):
        np.testing.assert_array_equal(fit_square(frames, 20, fit), frames)


def test_crop_cuts_the_centre_of_the_long_side():
    np.testing.assert_array_equal(
        fit_square(_ramp(2, 16, 32), 16, "crop"), _ramp(2, 16, 32)[:, :, 8:24]
    )
    np.testing.assert_array_equal(
        fit_square(_ramp(2, 33, 16), 16, "crop"), _ramp(2, 33, 16)[:, 8:24]
    )


def test_crop_resizes_the_short_side_and_keeps_the_aspect():
    # Short side 40 -> 20, long side 80 -> 40; its columns 10..29 are the columns 20..59 of the frame, two by two.
    found = fit_square(_ramp(1, 40, 80), 20, "crop")[0].astype(float)
    np.testing.assert_allclose(found[10, :, 1], 20.5 + 2 * np.arange(20), atol=1)
    np.testing.assert_allclose(found[:, 10, 0], 0.5 + 2 * np.arange(20), atol=1)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(240, 427, 256), (96, 128, 72), (90, 31, 50), (720, 1280, 256)]
)
def test_crop_is_the_centre_of_the_whole_frame_resized(height, width, size):
    frame = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    scale = size / min(height, width)
    whole = Image.fromarray(frame[0]).resize(
        (round(width * scale), round(height * scale)), Image.Resampling.BILINEAR
    )
    top, left = (whole.height - size) // 2, (whole.width - size) // 2
    expected = np.asarray(whole)[top : top + size, left : left + size]
    assert np.abs(fit_square(frame, size, "crop")[0].astype(int) - expected).max() <= 1


def test_the_long_side_is_rounded_to_the_nearest_pixel():
    # 30 x 40 to a short side of 20: the long side is 26.67 pixels, so 27, of which the columns 3..22 are kept.
    ramp = np.repeat(np.arange(0, 240, 6, dtype=np.uint8)[None, None, :, None], 30, axis=1).repeat(
        3, axis=-1
    )
    found = fit_square(ramp, 20, "crop")[0, 10, :, 0]
    columns = (3 + np.arange(20) + 0.5) * 40 / 27 - 0.5  # of the frame, at the middle of each pixel
    np.testing.assert_allclose(found, 6 * columns, atol=1)
    assert abs(float(found[-1]) - 197) <= 1  # a long side of 26 pixels would give 205


def test_samples_of_16_bits_are_scaled_to_the_nearest_level():
    levels = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(eight_bits(levels), np.round(levels / 257).astype(np.uint8))
    np.testing.assert_array_equal(eight_bits(np.arange(256, dtype=np.uint16) * 257), np.arange(256))


def test_squash_keeps_the_whole_frame():
    found = fit_square(_ramp(1, 40, 80), 20, "squash")[0].astype(float)
    np.testing.assert_allclose(found[10, 1:-1, 1], 1.5 + 4 * np.arange(1, 19), atol=1)
    np.testing.assert_allclose(found[1:-1, 10, 0], 0.5 + 2 * np.arange(1, 19), atol=1)


def test_small_frames_are_enlarged():
    found = fit_square(_ramp(1, 10, 14), 20, "crop")[0].astype(float)
    assert found.shape == (20, 20, 3)
    assert (
        found[:, 10, 0].min() == 0
        and found[:, 10, 0].max() == 9
        and (np.diff(found[:, 10, 0]) >= 0).all()
    )


def test_shrinking_is_antialiased():
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    found = fit_square(stripes, 16, "squash")
    # Without antialiasing the stripes would survive as 0 or 255.
    assert found[:, :, 1:-1].min() > 110 and found[:, :, 1:-1].max() < 145


def test_every_frame_is_resized_by_itself():
    found = fit_square(_ramp(5, 30, 50), 16, "crop")
    assert [np.unique(frame[..., 2]).tolist() for frame in found] == [[0], [1], [2], [3], [4]]


def test_an_unknown_fit():
    with pytest.raises(FsarError, match=r"^unknown fit 'stretch'; valid: crop, squash$"):
        fit_square(_ramp(1, 30, 20), 16, "stretch")
