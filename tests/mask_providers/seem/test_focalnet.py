"""FocalNet, both kinds: modulation, blocks, the whole backbone, and what they ought to be blind to."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fsar_core.mask_providers.seem.config import FOCAL_L, FOCAL_T
from fsar_core.mask_providers.seem.focalnet import (
    DepthwiseFocalBlock,
    FocalBlock,
    FocalModulation,
    FocalNet,
)
from tests.mask_providers.seem.tiny import CONFIGS, TINY, arrays, draw, last, random_weights
from tests.oracles import seem as oracle

MAP = draw(2, 5, 7, 6)


@pytest.mark.parametrize("levels", [1, 3, 4])
def test_modulation(levels):
    module = random_weights(FocalModulation(6, levels))
    for grid, found in zip(MAP.numpy(), module(MAP)):
        np.testing.assert_allclose(
            found, oracle.focal_modulation(grid, arrays(module), levels), atol=1e-12
        )


def test_levels_see_3_then_7_then_13_cells():
    """Kernels 3, 5, 7 one after another; the mean over the map is switched off by its gate."""
    module = random_weights(FocalModulation(4, 3))
    module.f.weight[-1], module.f.bias[-1] = 0, 0
    grid = draw(1, 1, 25, 4)
    for level, reach in enumerate((1, 3, 6)):
        alone = random_weights(FocalModulation(4, 3))
        alone.load_state_dict(module.state_dict())
        for other in {0, 1, 2} - {level}:
            alone.f.weight[8 + other], alone.f.bias[8 + other] = 0, 0
        moved = grid.clone()
        moved[0, 0, 12] += 1
        changed = ((alone(moved) - alone(grid))[0, 0].abs() > 1e-12).any(-1).nonzero()[:, 0]
        assert changed.tolist() == list(range(12 - reach, 12 + reach + 1))


@pytest.mark.parametrize("block", [FocalBlock, DepthwiseFocalBlock])
def test_block(block):
    module = random_weights(block(6, 2))
    for grid, found in zip(MAP.numpy(), module(MAP)):
        np.testing.assert_allclose(found, oracle.focal_block(grid, arrays(module), 2), atol=1e-11)


def test_blocks_without_their_residual_branches():
    """The plain block is then the identity; the other one still has its norms and depthwise convolutions."""
    plain, other = random_weights(FocalBlock(6, 2)), random_weights(DepthwiseFocalBlock(6, 2))
    for block in (plain, other):
        block.gamma_1.zero_()
        block.gamma_2.zero_()
    torch.testing.assert_close(plain(MAP), MAP)
    for convolution in (other.dw1, other.dw2):
        convolution.weight.zero_()
        convolution.bias.zero_()
    torch.testing.assert_close(other(MAP), other.norm2(other.norm1(MAP)))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_backbone(config):
    module, image = random_weights(FocalNet(config)), draw(1, 3, 32, 64)
    expected = oracle.focalnet(last(image), arrays(module), config)
    for stride, channels, found, wanted in zip(
        (4, 8, 16, 32), config.channels, module(image), expected
    ):
        assert found.shape == (1, channels, 32 // stride, 64 // stride)
        np.testing.assert_allclose(last(found), wanted, atol=1e-10)


def test_no_image_of_a_batch_meets_another():
    module, images = random_weights(FocalNet(TINY)), draw(3, 3, 32, 32)
    for number, maps in enumerate(zip(*module(images))):
        for found, alone in zip(maps, module(images[number : number + 1])):
            torch.testing.assert_close(found, alone[0])


@pytest.mark.parametrize(
    ("config", "millions", "gflop"),
    [(FOCAL_T, 29.92, 50), (FOCAL_L, 205.75, None)],
    ids=["focal_t", "focal_l"],
)
def test_published_sizes(config, millions, gflop):
    with torch.device("meta"):
        module = FocalNet(config).requires_grad_(False)
        assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(
            millions, abs=0.005
        )
        with FlopCounterMode(display=False) as counter:
            maps = module(torch.empty(1, 3, 512, 512))
    assert [tuple(m.shape) for m in maps] == [
        (1, c, s, s) for c, s in zip(config.channels, (128, 64, 32, 16))
    ]
    if gflop:
        assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, abs=0.5)


def test_the_stem_of_the_large_network_starts_a_pixel_further():
    """The two paddings cannot be told apart by shapes: the first cell sees rows -3 .. 3, or -2 .. 4."""
    assert (FOCAL_T.stem_padding, FOCAL_L.stem_padding) == (3, 2)
    for config, first_unseen in zip(CONFIGS.values(), (4, 5)):
        module, image = (
            random_weights(FocalNet(config)),
            torch.zeros(1, 3, 32, 32, dtype=torch.float64),
        )
        edge = [
            torch.cat([image[:, :, :row], image[:, :, row:] + 1], dim=2)
            for row in (first_unseen, first_unseen - 1)
        ]
        blank, below, inside = (
            module.patch_embed(x.movedim(1, -1))[0, 0, 0] for x in (image, *edge)
        )
        torch.testing.assert_close(blank, below)
        assert (blank - inside).abs().max() > 1e-3
