"""demo_temporal is about order: within a pair, real order is recognised and shuffled frames are chance."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.order_matters import on_pixels, pair_accuracy, shuffled
from fsar_core.runtime.seeding import rng


@pytest.mark.slow
def test_order_decides_within_a_pair_and_shuffled_is_chance():
    """2-way 1-shot episodes of every pair, on pixels: far above 50 % in order, 50 % within the interval when shuffled."""
    real, mixed = on_pixels(clips=8, seed=0)
    assert real.episodes == mixed.episodes == 24
    assert real.mean - real.ci95 > 58
    assert abs(mixed.mean - 50) < mixed.ci95 < 4


def test_shuffling_keeps_the_frames_and_breaks_their_order():
    clips = np.arange(6 * 8 * 3, dtype=float).reshape(6, 8, 3)
    mixed = shuffled(clips, rng(0, "test"))
    assert not np.array_equal(mixed, clips)
    np.testing.assert_array_equal(np.sort(mixed, axis=1), clips)


def test_pair_accuracy_of_identical_and_of_opposite_clips():
    """Equal clips within a class and opposite ones between classes: always right; all clips equal: never strictly nearer."""
    one = np.tile(np.array([[1.0, 2.0]]), (3, 1)).reshape(3, 1, 2)
    assert pair_accuracy((one, -one)).tolist() == [1.0] * 6
    assert pair_accuracy((one, one)).tolist() == [0.0] * 6
