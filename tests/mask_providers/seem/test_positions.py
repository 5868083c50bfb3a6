"""Sine positions: the formula, and what follows from it."""

import math

import numpy as np
import pytest
import torch

from fsar_core.mask_providers.seem.positions import sine_positions
from tests.oracles import seem as oracle


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 2)])
def test_oracle(size):
    found = sine_positions(*size, 12, dtype=torch.float64)
    np.testing.assert_allclose(found, oracle.positions(*size, 12), atol=1e-12)


def test_row_first_then_column_and_the_last_cell_is_a_whole_turn():
    code = sine_positions(4, 6, 512, dtype=torch.float64).view(4, 6, 512)
    assert torch.equal(code[:, 0, :256], code[:, 5, :256]) and torch.equal(
        code[0, :, 256:], code[3, :, 256:]
    )
    assert code[1, 2, 0].item() == pytest.approx(math.sin(2 * math.pi * 2 / 4), abs=1e-5)
    assert code[1, 2, 257].item() == pytest.approx(math.cos(2 * math.pi * 3 / 6), abs=1e-5)
    assert code[3, 5, [0, 1, 256, 257]].tolist() == pytest.approx([0, 1, 0, 1], abs=1e-5)


def test_sines_and_cosines_of_an_angle_stand_together():
    code = sine_positions(7, 3, 64, dtype=torch.float64)
    torch.testing.assert_close(
        code[:, 0::2] ** 2 + code[:, 1::2] ** 2, torch.ones(21, 32, dtype=torch.float64)
    )


def test_single_precision_by_default():
    assert sine_positions(2, 2, 8).dtype == torch.float32
