"""Geometry: sizes are exact, the middle stays the middle, and shrinking averages instead of skipping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsar_core.data.transforms import centre_crop, fit_square
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
    np.testing.assert_array_equal(fit_square(_ramp(2, 16, 32), 16, "crop"), _ramp(2, 16, 32)[:, :, 8:24])
    np.testing.assert_array_equal(fit_square(_ramp(2, 33, 16), 16, "crop"), _ramp(2, 33, 16)[:, 8:24])


def test_crop_resizes_the_short_side_and_keeps_the_aspect():
    # Short side 40 -> 20, long side 80 -> 40; its columns 10..29 are the columns 20..59 of the frame, two by two.
    found = fit_square(_ramp(1, 40, 80), 20, "crop")[0].astype(float)
    np.testing.assert_allclose(found[10, :, 1], 20.5 + 2 * np.arange(20), atol=1)
    np.testing.assert_allclose(found[:, 10, 0], 0.5 + 2 * np.arange(20), atol=1)


def test_squash_keeps_the_whole_frame():
    found = fit_square(_ramp(1, 40, 80), 20, "squash")[0].astype(float)
    np.testing.assert_allclose(found[10, 1:-1, 1], 1.5 + 4 * np.arange(1, 19), atol=1)
    np.testing.assert_allclose(found[1:-1, 10, 0], 0.5 + 2 * np.arange(1, 19), atol=1)


def test_small_frames_are_enlarged():
    found = fit_square(_ramp(1, 10, 14), 20, "crop")[0].astype(float)
    assert found.shape == (20, 20, 3)
    assert found[:, 10, 0].min() == 0 and found[:, 10, 0].max() == 9 and (np.diff(found[:, 10, 0]) >= 0).all()


def test_shrinking_is_antialiased():
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    found = fit_square(stripes, 16, "squash")
    # Without antialiasing the stripes would survive as 0 or 255.
    assert found[:, :, 1:-1].min() > 110 and found[:, :, 1:-1].max() < 145


def test_every_frame_is_resized_by_itself():
    found = fit_square(_ramp(5, 30, 50), 16, "crop")
    assert [np.unique(frame[..., 2]).tolist() for frame in found] == [[0], [1], [2], [3], [4]]


def test_centre_crop():
    frames = np.stack([_ramp(2, 7, 9)] * 3)  # [view frames height width channels]
    found = centre_crop(frames, 4)
    assert found.shape == (3, 2, 4, 4, 3)
    assert found[0, 0, :, 0, 0].tolist() == [1, 2, 3, 4] and found[0, 0, 0, :, 1].tolist() == [2, 3, 4, 5]
    np.testing.assert_array_equal(centre_crop(frames[..., :7, :], 7), frames[..., :7, :])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: centre_crop(_ramp(1, 30, 20), 24), "cannot crop 24 pixels from frames of 30 x 20"),
        (lambda: fit_square(_ramp(1, 30, 20), 16, "stretch"), "unknown fit 'stretch'; valid: crop, squash"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(FsarError) as error:
        call()
    assert str(error.value) == words
