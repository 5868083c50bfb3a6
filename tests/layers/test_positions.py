"""Sinusoidal positions against a loop, at every size and precision."""

from __future__ import annotations

import pytest
import torch

from fsar_core.layers.positions import sinusoid
from tests.oracles import matching as oracle


@pytest.mark.parametrize("channels", [1, 6, 7])
def test_positions_equal_the_loop(channels):
    expected = torch.tensor([oracle.position(place, channels) for place in range(9)])
    torch.testing.assert_close(sinusoid(9, channels, like=torch.empty(1)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_positions_are_computed_in_full_precision_and_take_the_dtype_of_the_features(dtype):
    found = sinusoid(2049, 4, like=torch.empty(1, dtype=dtype))
    exact = sinusoid(2049, 4, like=torch.empty(1, dtype=torch.float64))
    assert found.dtype == dtype
    # float32 places: cos and sin of 2048 are right up to 2048 times its rounding.
    torch.testing.assert_close(found, exact.to(dtype), rtol=0, atol=torch.finfo(dtype).eps + 3e-4)
