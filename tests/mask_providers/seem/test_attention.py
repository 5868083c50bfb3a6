"""Attention against loops and against torch's own, and the two layers of the mask decoder."""

import numpy as np
import pytest
import torch
from torch import nn

from fsar_core.mask_providers.seem.attention import Attention, NormedAttention, NormedFeedForward
from tests.mask_providers.seem.tiny import arrays, draw, random_weights
from tests.oracles import seem as oracle

QUERY, KEY, VALUE = draw(2, 3, 8), draw(2, 5, 8, seed=1), draw(2, 5, 8, seed=2)
ALLOWED = torch.tensor([[[1, 0, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]]] * 2).bool()


@pytest.mark.parametrize(
    "allowed", [None, ALLOWED, ALLOWED[:, :1]], ids=["all", "some", "one row for all"]
)
def test_oracle(allowed):
    module = random_weights(Attention(8, 2))
    found = module(QUERY, KEY, VALUE, allowed)
    for n in range(2):
        sees = (
            (lambda i, j: True)
            if allowed is None
            else (lambda i, j, n=n: allowed[n].expand(3, 5)[i, j])
        )
        expected = oracle.attention(
            *(list(x[n].numpy()) for x in (QUERY, KEY, VALUE)), arrays(module), 2, sees
        )
        np.testing.assert_allclose(found[n], expected, atol=1e-12)


def test_causal():
    module = random_weights(Attention(8, 2))
    rows = list(KEY[0].numpy())
    expected = oracle.attention(rows, rows, rows, arrays(module), 2, lambda i, j: j <= i)
    np.testing.assert_allclose(module(KEY, KEY, KEY, causal=True)[0], expected, atol=1e-12)


def test_the_names_and_numbers_of_torchs_multihead_attention():
    module = random_weights(Attention(8, 2))
    other = nn.MultiheadAttention(8, 2, batch_first=True).double()
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(module(QUERY, KEY, VALUE), other(QUERY, KEY, VALUE)[0])


def test_positions_are_added_to_what_asks_and_not_to_what_is_kept():
    module, places = random_weights(NormedAttention(8, 2)), draw(1, 3, 8, seed=3)
    for parameter in module.attn.out_proj.parameters():
        parameter.zero_()
    torch.testing.assert_close(module(QUERY, places, KEY, VALUE), module.norm(QUERY))
    module = random_weights(NormedAttention(8, 2))
    expected = module.norm(QUERY + module.attn(QUERY + places, KEY, VALUE))
    torch.testing.assert_close(module(QUERY, places, KEY, VALUE), expected)


def test_feed_forward():
    module = random_weights(NormedFeedForward(8, 6))
    weights = arrays(module)
    for row, found in zip(QUERY[0].numpy(), module(QUERY)[0]):
        expected = oracle.layer_norm(
            row + oracle.feed_forward(row, weights), oracle.part(weights, "norm")
        )
        np.testing.assert_allclose(found, expected, atol=1e-12)
