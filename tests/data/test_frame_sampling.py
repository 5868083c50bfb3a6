"""Frame policies: indices worked out by hand, and what holds for every length."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsar_core.data.frame_sampling import frame_indices
from fsar_core.errors import FsarError
from fsar_core.specs import Policy

HAND = [
    # middle frames of 8 segments of 3.75 frames: 0 + 1.375, 3.75 + 1.375, 7.5 + 1.375, ...
    ("segment_centre", 30, 8, 30, [1, 5, 8, 12, 16, 20, 23, 27]),
    ("segment_centre", 60, 8, 30, [3, 10, 18, 25, 33, 40, 48, 55]),
    ("segment_centre", 16, 8, 30, [0, 2, 4, 6, 8, 10, 12, 14]),
    ("segment_centre", 10, 4, 30, [0, 3, 5, 8]),
    ("segment_centre", 8, 8, 30, [0, 1, 2, 3, 4, 5, 6, 7]),
    ("segment_centre", 3, 8, 30, [0, 0, 0, 0, 1, 1, 1, 2]),
    ("segment_centre", 1, 8, 30, [0] * 8),
    # from 1 to n - 2 where these are at least 8 apart, else from 0 to n - 1
    ("linspace", 30, 8, 30, [1, 4, 8, 12, 16, 20, 24, 28]),
    ("linspace", 11, 8, 30, [1, 2, 3, 4, 5, 6, 7, 9]),
    ("linspace", 10, 8, 30, [0, 1, 2, 3, 5, 6, 7, 9]),
    ("linspace", 8, 8, 30, [0, 1, 2, 3, 4, 5, 6, 7]),
    ("linspace", 2, 8, 30, [0, 0, 0, 0, 0, 0, 0, 1]),
    # a window of 8 * 35 * 30 / 12 = 700 > 300 frames becomes 8 * 37 = 296: from 2.5 to 2.5 + 296 - 35
    ("interval", 300, 8, 30, [2, 39, 77, 114, 151, 188, 226, 263]),
    # 10 frames a second: a window of 233.3 frames, from 33.83 to 232.17
    ("interval", 300, 8, 10, [33, 62, 90, 118, 147, 175, 203, 232]),
    ("interval", 40, 8, 30, [0, 1, 1, 2, 3, 4, 4, 5]),
    # no room for one step of 35 frames: the whole clip
    ("interval", 32, 8, 30, [0, 4, 8, 13, 17, 22, 26, 31]),
    ("interval", 5, 8, 30, [0, 0, 1, 1, 2, 2, 3, 4]),
]


@pytest.mark.parametrize(("policy", "total", "count", "fps", "expected"), HAND)
def test_by_hand(policy, total, count, fps, expected):
    found = frame_indices(policy, total, count, fps=fps)
    assert found.tolist() == expected and found.dtype == np.int64


@settings(max_examples=150, deadline=None)
@given(
    policy=st.sampled_from(get_args(Policy)),
    total=st.integers(1, 2000),
    count=st.integers(1, 32),
    fps=st.floats(1, 120),
    rate=st.floats(0.1, 70),
    seed=st.one_of(st.none(), st.integers(0, 2**32)),
)
def test_count_order_and_range(policy, total, count, fps, rate, seed):
    random = (
        np.random.default_rng(seed or 0) if seed is not None or policy == "segment_random" else None
    )
    found = frame_indices(policy, total, count, random, fps=fps, rate=rate)
    assert found.shape == (count,)
    assert (np.diff(found) >= 0).all() and found[0] >= 0 and found[-1] < total


@settings(max_examples=100, deadline=None)
@given(
    policy=st.sampled_from(["segment_random", "segment_centre"]),
    total=st.integers(1, 500),
    count=st.integers(1, 16),
    seed=st.integers(0, 99),
)
def test_one_frame_of_every_segment(policy, total, count, seed):
    found = frame_indices(policy, total, count, np.random.default_rng(seed))
    if total >= count:
        edges = np.arange(count + 1) * total // count
        assert (found >= edges[:-1]).all() and (found < edges[1:]).all()
        assert (np.diff(found) > 0).all()
    if total < count:
        assert set(found.tolist()) <= set(range(total)) and len(set(found.tolist())) < count


def test_a_short_clip_repeats_and_shows_all_it_has():
    for total in range(1, 8):
        for policy in ("segment_centre", "linspace"):
            found = frame_indices(policy, total, 8).tolist()
            assert sorted(set(found)) == list(range(total)), (policy, total)


def test_segment_random_reaches_every_frame_and_is_decided_by_its_generator():
    random = np.random.default_rng(0)
    draws = np.stack([frame_indices("segment_random", 80, 8, random) for _ in range(200)])
    assert [sorted(set(column)) for column in draws.T.tolist()] == [
        list(range(10 * i, 10 * i + 10)) for i in range(8)
    ]
    again = [frame_indices("segment_random", 80, 8, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*again)
    assert (draws[0] != draws[1]).any()


@settings(max_examples=100, deadline=None)
@given(total=st.integers(8, 3000))
def test_segment_centre_is_the_middle_of_every_segment(total):
    """The released rule, in floats: int(i n / 8 + (n / 8 - 1) / 2)."""
    found = frame_indices("segment_centre", total, 8).tolist()
    assert found == [int(i * total / 8 + (total / 8 - 1) / 2) for i in range(8)]


def test_linspace_with_a_generator_moves_both_ends_by_up_to_five():
    random = np.random.default_rng(0)
    ends = [frame_indices("linspace", 100, 8, random)[[0, -1]].tolist() for _ in range(400)]
    assert {first for first, _ in ends} == set(range(6)) and {last for _, last in ends} == set(
        range(94, 100)
    )
    # (12 - 8) / 2 = 2 frames at either end, and the whole clip where that leaves less than 8 steps
    ends = {tuple(frame_indices("linspace", 12, 8, random)[[0, -1]].tolist()) for _ in range(400)}
    assert ends == {(s, e) for s in range(3) for e in range(9, 12) if e - s >= 8}


def test_a_window_with_a_step_below_one_frame_stays_in_the_clip():
    """Without a limit the last frame of the last window would be one behind the clip."""
    draws = [
        frame_indices("interval", 20, 8, np.random.default_rng(seed), rate=0.5)
        for seed in range(100)
    ]
    assert {draw[-1] for draw in draws} >= {9, 19} and max(draw[-1] for draw in draws) == 19


def test_interval_with_a_generator_moves_the_window():
    random = np.random.default_rng(0)
    draws = np.stack([frame_indices("interval", 300, 8, random, fps=10) for _ in range(300)])
    # start lies in [0, 67.67), the span is 198.33 frames
    assert draws[:, 0].min() <= 3 and 60 <= draws[:, 0].max() <= 67
    assert set((draws[:, -1] - draws[:, 0]).tolist()) <= {198, 199}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("segment_center", 30, 8),
            "unknown frame policy 'segment_center'; valid: interval, linspace, segment_centre",
        ),
        (("linspace", 0, 8), "cannot take 8 frames of a clip with 0"),
        (("linspace", 30, 0), "cannot take 0 frames of a clip with 30"),
    ],
)
def test_mistakes(arguments, words):
    with pytest.raises(FsarError) as error:
        frame_indices(*arguments)
    assert words in str(error.value)
