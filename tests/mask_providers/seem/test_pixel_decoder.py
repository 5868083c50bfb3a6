"""The pixel decoder against loops, its parts in closed form."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fsar_core.mask_providers.seem.config import FOCAL_L, FOCAL_T
from fsar_core.mask_providers.seem.pixel_decoder import (
    EncoderLayer,
    NormedConv,
    PixelDecoder,
    pointwise,
)
from tests.mask_providers.seem.tiny import TINY, arrays, draw, last, random_weights
from tests.oracles import seem as oracle

MAPS = [
    draw(2, channels, 16 // s, 24 // s, seed=s) for channels, s in zip(TINY.channels, (1, 2, 4, 8))
]


def test_encoder_layer():
    module, rows, places = random_weights(EncoderLayer(8, 2, 6)), draw(2, 5, 8), draw(5, 8, seed=1)
    for n in range(2):
        expected = oracle.encoder_layer(
            list(rows[n].numpy()), list(places.numpy()), arrays(module), 2
        )
        np.testing.assert_allclose(module(rows, places)[n], expected, atol=1e-12)


@pytest.mark.parametrize(("kernel", "relu"), [(1, False), (3, True)])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_normed_convolution(kernel, relu, form):
    module, x = random_weights(NormedConv(6, 8, kernel, groups=4, relu=relu)), draw(2, 6, 4, 5)
    expected = F.group_norm(
        F.conv2d(x, module.weight, padding=kernel // 2), 4, module.norm.weight, module.norm.bias
    )
    found = module(x.contiguous(memory_format=form))
    torch.testing.assert_close(found, expected.relu() if relu else expected)
    assert found.min() == 0 if relu else found.min() < -0.1


def test_pointwise_is_a_convolution():
    convolution = random_weights(nn.Conv2d(6, 4, 1))
    torch.testing.assert_close(pointwise(convolution, MAPS[1]), convolution(MAPS[1]))


def test_oracle():
    module = random_weights(PixelDecoder(TINY))
    memories, finest = module(MAPS)
    for n in range(2):
        wanted, wanted_finest = oracle.pixel_decoder(
            [last(m[n : n + 1]) for m in MAPS], arrays(module), TINY
        )
        for found, expected in zip([*memories, finest], [*wanted, wanted_finest], strict=True):
            np.testing.assert_allclose(last(found[n : n + 1]), expected, atol=1e-10)


def test_coarsest_memory_first():
    memories, finest = random_weights(PixelDecoder(TINY))(MAPS)
    assert [tuple(m.shape[2:]) for m in memories] == [(2, 3), (4, 6), (8, 12)] and finest.shape == (
        2,
        16,
        16,
        24,
    )


@pytest.mark.parametrize(
    ("config", "millions"), [(FOCAL_T, 31.46), (FOCAL_L, 32.19)], ids=["focal_t", "focal_l"]
)
def test_published_sizes(config, millions):
    with torch.device("meta"):
        module = PixelDecoder(config)
    assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
