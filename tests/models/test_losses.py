import math

import pytest
import torch

from fsar_core.models.losses import episodic_cross_entropy


def test_by_hand():
    # exp: 3, 1 -> 3/4; 1, 1 -> 1/2; 1, 7 -> 1/8 and 7/8
    logits = torch.tensor([[[3.0, 1.0], [1.0, 1.0]], [[1.0, 7.0], [1.0, 7.0]]]).log()
    labels = torch.tensor([[0, 1], [0, 1]])
    expected = -(math.log(3 / 4) + math.log(1 / 2) + math.log(1 / 8) + math.log(7 / 8)) / 4
    assert episodic_cross_entropy(logits, labels).item() == pytest.approx(expected, rel=1e-6)


def test_mean_over_queries_of_all_episodes():
    generator = torch.Generator().manual_seed(0)
    logits, labels = (
        torch.randn(4, 6, 3, generator=generator),
        torch.randint(3, (4, 6), generator=generator),
    )
    single = [episodic_cross_entropy(logits[i : i + 1], labels[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(episodic_cross_entropy(logits, labels), torch.stack(single).mean())


def test_chance_is_the_logarithm_of_way():
    loss = episodic_cross_entropy(torch.zeros(2, 5, 5), torch.zeros(2, 5, dtype=torch.int64))
    assert loss.item() == pytest.approx(math.log(5), rel=1e-6)


def test_half_precision_logits_are_summed_in_full_precision():
    logits = torch.full((1, 1, 3), 1000.0, dtype=torch.float16)
    loss = episodic_cross_entropy(logits, torch.zeros(1, 1, dtype=torch.int64))
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(math.log(3), rel=1e-6)


def test_gradient_is_probability_minus_target():
    logits = torch.zeros(1, 1, 4, requires_grad=True)
    episodic_cross_entropy(logits, torch.tensor([[2]])).backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[[0.25, 0.25, -0.75, 0.25]]]))
