"""Mask features: the shortcuts against the features themselves."""

import pytest
import torch
import torch.nn.functional as F

from fsar_core.mask_providers.seem.mask_features import MaskFeatures
from tests.mask_providers.seem.tiny import draw, random_weights

FINEST = draw(2, 6, 16, 24)
SIZES = [(2, 3), (4, 6), (8, 12)]


@pytest.fixture(scope="module")
def module() -> MaskFeatures:
    return random_weights(MaskFeatures(6))


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_resized(module, form):
    features, finest = module(FINEST), FINEST.contiguous(memory_format=form)
    for size, found in zip(SIZES, module.resized(finest, SIZES)):
        torch.testing.assert_close(
            found, F.interpolate(features, size, mode="bilinear", align_corners=False)
        )


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_mask(module, form):
    query = draw(2, 6, seed=1)
    expected = (query[:, :, None, None] * module(FINEST)).sum(1)
    torch.testing.assert_close(module.mask(FINEST.contiguous(memory_format=form), query), expected)


@pytest.mark.parametrize("size", [(16, 24), (5, 8), (4, 8)])
def test_other_sizes_are_refused(module, size):
    with pytest.raises(ValueError, match=f"16 x 24 is no even multiple of {size[0]} x {size[1]}"):
        module.resized(FINEST, [size])
