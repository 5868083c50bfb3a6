import math

import pytest
import torch

from fsar_core.layers.distances import (
    attended_distances,
    cosine_distances,
    full_precision,
)
from tests.oracles import matching as oracle


def test_cosine_distances_equal_the_loop_on_every_axis():
    generator = torch.Generator().manual_seed(0)
    support = torch.randn(2, 3, 2, 4, 5, generator=generator)
    query = torch.randn(2, 6, 4, 5, generator=generator)
    found = cosine_distances(support, query, eps=0.3)
    assert found.shape == (2, 6, 3, 2, 4, 4)
    for b, q, w, k in ((0, 0, 0, 0), (1, 5, 2, 1), (0, 3, 1, 0), (1, 2, 0, 1)):
        expected = oracle.cosine_distances(query[b, q].tolist(), support[b, w, k].tolist(), eps=0.3)
        torch.testing.assert_close(found[b, q, w, k], torch.tensor(expected))


def test_eps_is_added_to_the_product_of_norms():
    x = torch.tensor([3.0, 4.0])
    found = cosine_distances(x.view(1, 1, 1, 1, 2), x.view(1, 1, 1, 2), eps=25.0)
    assert found.item() == pytest.approx(0.5)  # 25 / (5 * 5 + 25)


def test_zero_features_are_at_distance_one_of_everything():
    found = cosine_distances(torch.zeros(1, 1, 1, 1, 2), torch.ones(1, 1, 1, 2), eps=0.01)
    assert found.item() == 1.0


def test_attention_to_equal_keys_gives_the_mean_value():
    values = torch.tensor([[1.0], [3.0]]).view(1, 1, 1, 2, 1)
    keys = torch.zeros(1, 1, 1, 2, 1)
    found = attended_distances(
        torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 5.0), keys, values, scale=1.0
    )
    assert found.item() == pytest.approx(9.0)  # (5 - 2)²


def test_attention_temperature_is_the_scale():
    keys = values = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2, 1)
    found = attended_distances(
        torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), keys, values, scale=math.log(3.0)
    )
    assert found.item() == pytest.approx(0.75**2)  # weights 1/4 and 3/4


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_full_precision_never_lowers(dtype, expected):
    assert full_precision(torch.ones(1, dtype=dtype)).dtype == expected
