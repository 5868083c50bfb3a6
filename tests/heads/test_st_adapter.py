"""ST-Adapter against Eq. 15, its number of parameters, and its start at the frozen transformer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fsar_core.errors import FsarError
from fsar_core.heads.st_adapter import STAdapter
from fsar_core.layers.adapters import Adapter, TemporalConvolution
from fsar_core.layers.vision_transformer import Block, ClassToken
from tests.heads import adapting
from tests.oracles import adapters as oracle
from tests.oracles.dmgal import part

POSITIONS = ("attention", "mlp", "both")


@pytest.mark.parametrize(
    "position, count", [("attention", 7_110_144), ("mlp", 7_110_144), ("both", 14_220_288)]
)
def test_parameters_of_vit_b16(position, count):
    with torch.device("meta"):
        tail = nn.Sequential(*(Block(768, 12) for _ in range(12)), ClassToken(768)).requires_grad_(
            False
        )
        head = STAdapter(tail, position=position)
    assert adapting.trained(head) == count
    assert head.adapters[0][POSITIONS[position == "mlp"]].down.out_features == 384
    assert count == 12 * (2 if position == "both" else 1) * (2 * 768 * 384 + 768 + 5 * 384)


@pytest.mark.parametrize("position", POSITIONS)
def test_it_starts_as_the_frozen_transformer(position):
    head = adapting.head("st_adapter", position=position)
    adapting.assert_starts_as_the_frozen_transformer(head)
    assert all(
        adapter.up.weight.count_nonzero() for parts in head.adapters for adapter in parts.values()
    )


def test_the_convolution_is_depth_wise_over_the_frames():
    """Each channel by itself, frames beyond the ends 0, and a bias."""
    layer = TemporalConvolution(3).double()
    patches = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    (got,) = layer(patches)
    weight, bias = layer.conv.weight.detach(), layer.conv.bias.detach()
    for v, i, p, c in np.ndindex(2, 4, 5, 3):
        terms = [
            weight[c, 0, k, 0] * patches[v, i + k - 1, p, c] for k in range(3) if 0 <= i + k - 1 < 4
        ]
        assert got[v, i, p, c].item() == pytest.approx((sum(terms) + bias[c]).item(), abs=1e-12)


@pytest.mark.parametrize("class_token", ["skip", "bypass"])
def test_an_adapter_is_eq_15(class_token):
    adapter = adapting.shaken(Adapter(8, 4, TemporalConvolution(4), class_token))
    _, query = adapting.episode()
    (got,) = adapter((query[..., 0].transpose(-1, -2),))
    for m, video in enumerate(adapting.videos_of(query)):
        expected = oracle.st_adapter(video, adapting.arrays(adapter), class_token)
        np.testing.assert_allclose(got[0, m].detach(), expected, atol=1e-12)
    assert torch.equal(got[..., 0, :], query[..., 0, 0]) == (class_token == "skip")


@pytest.mark.parametrize("position", POSITIONS)
def test_the_head_is_its_adapters_in_the_transformer(position):
    head = adapting.head("st_adapter", position=position)
    adapting.shaken(head.adapters)
    features = adapting.episode()

    def through(video: np.ndarray) -> np.ndarray:
        for i in range(2):
            block, state = (
                part(adapting.arrays(head.tail), str(i)),
                adapting.arrays(head.adapters[i]),
            )
            if position != "mlp":
                video = oracle.st_adapter(video, part(state, "attention"), "skip")
            video = oracle.attend(video, block, adapting.HEADS)
            if position != "attention":
                video = oracle.st_adapter(video, part(state, "mlp"), "skip")
            video = oracle.feed_forward(video, block)
        return video

    support, query = (adapting.videos_of(x) for x in features)
    expected = np.array([[through(video) for video in shots] for shots in support])
    adapting.assert_equals(head, features, expected, np.array([through(video) for video in query]))


def test_at_the_start_the_convolution_learns_and_then_the_rest():
    head = adapting.head("st_adapter")
    learning = {
        name
        for name, grad in adapting.gradients(head, adapting.episode()).items()
        if grad.count_nonzero()
    }
    assert learning == {
        f"adapters.{i}.attention.{part}"
        for i in range(2)
        for part in ("operation.conv.weight", "operation.conv.bias", "up.bias")
    }
    adapting.shaken(head.adapters)
    assert all(
        grad.count_nonzero() for grad in adapting.gradients(head, adapting.episode()).values()
    )


def test_the_order_of_frames_matters_and_any_number_is_taken():
    head = adapting.head("st_adapter")
    adapting.shaken(head.adapters)
    support, query = adapting.episode(frames=6, way=3, shot=2, query=4)
    straight, turned = head(support, query).query, head(support, query.flip(2)).query.flip(2)
    assert straight.shape == (1, 4, 6, adapting.DIM, 1, 1)
    assert (straight - turned).abs().max() > 1e-3


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"r": 3}, "st_adapter: r=3 is not valid; valid: 1, 2, 4, 8"),
        (
            {"position": "after"},
            "st_adapter: position='after' is not valid; valid: 'attention', 'mlp', 'both'",
        ),
    ],
)
def test_a_bad_value_names_the_valid_ones(settings, words):
    with pytest.raises(FsarError) as caught:
        STAdapter(adapting.tail(), **settings)
    assert str(caught.value) == words
