"""The largest frames that are read, wide and tall."""

import pytest

from fsar_core.data.decoding import MAX_PIXELS, MAX_RATIO, VideoProblem, _check_size

SIDE = int(MAX_PIXELS**0.5)
ALLOWED = [(SIDE, SIDE), (100 * MAX_RATIO, 100)]
REFUSED = [
    (SIDE + 1, SIDE + 1),
    (100 * MAX_RATIO + 1, 100),
    (MAX_PIXELS // 10 + 1, 10),
    (2 * SIDE, SIDE),
]


@pytest.mark.parametrize("size", ALLOWED)
def test_both_orientations_are_read_up_to_the_limits(size):
    _check_size(*size)
    _check_size(*size[::-1])


@pytest.mark.parametrize("size", REFUSED)
def test_both_orientations_are_refused_beyond_the_limits(size):
    for width, height in (size, size[::-1]):
        with pytest.raises(VideoProblem, match=f"its frames are {width} x {height} pixels"):
            _check_size(width, height)
