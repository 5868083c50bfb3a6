import pytest
import torch

from fsar_core.errors import FsarError
from fsar_core.metrics.bimhm import BiMHM
from tests.oracles import matching as oracle


def random_episode(seed: int):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, 2, 5, 4, generator=generator), torch.randn(
        1, 4, 5, 4, generator=generator
    )


@oracle.reads_published
@pytest.mark.parametrize("shot", [1, 5])
@pytest.mark.parametrize(
    ("shots", "name"), [("distance", "bimhm_logits"), ("prototype", "bimhm_logits_prototype")]
)
def test_published_logits(shot, shots, name):
    numbers = oracle.published(shot)
    found = BiMHM(shots=shots)(numbers["support"], numbers["query"])[0]
    torch.testing.assert_close(found, numbers[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize("shots", ["distance", "prototype"])
def test_oracle(shots):
    support, query = random_episode(0)
    expected = oracle.bimhm_logits(support[0].tolist(), query[0].tolist(), eps=0.2, shots=shots)
    found = BiMHM(cosine_eps=0.2, shots=shots)(support, query)[0]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_by_hand_both_directions_are_summed_over_frames():
    x, y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    query, support = (
        torch.stack([x, x, y]).view(1, 1, 3, 2),
        torch.stack([x, x, x]).view(1, 1, 1, 3, 2),
    )
    # Query frame y finds nothing (1); every support frame finds x (0).
    assert BiMHM(cosine_eps=1e-9)(support, query).item() == pytest.approx(-1.0)


def test_order_of_frames_is_ignored_and_directions_are_symmetric():
    support, query = random_episode(1)
    shuffled = BiMHM()(support, query[:, :, torch.tensor([3, 0, 4, 2, 1])])
    torch.testing.assert_close(shuffled, BiMHM()(support, query))
    one_shot = support[:, :, 0]
    torch.testing.assert_close(
        BiMHM()(one_shot[:, :, None], query), BiMHM()(query[:, :, None], one_shot).mT
    )


def test_distances_are_averaged_by_default():
    support, query = random_episode(2)
    each = [BiMHM()(support[:, :, k : k + 1], query) for k in range(2)]
    torch.testing.assert_close(BiMHM()(support, query), (each[0] + each[1]) / 2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"cosine_eps": 0}, "bimhm: cosine_eps=0 is not valid; valid: numbers above 0"),
        ({"shots": 5}, "bimhm: shots=5 is not valid; valid: 'distance', 'prototype'"),
    ],
)
def test_bad_parameters_name_the_valid_ones(params, message):
    with pytest.raises(FsarError, match=message):
        BiMHM(**params)
