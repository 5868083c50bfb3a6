import pytest
import torch

from fsar_core.errors import FsarError
from fsar_core.metrics.prototype import Prototype
from tests.oracles import matching as oracle


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_oracle(similarity):
    generator = torch.Generator().manual_seed(0)
    support, query = (
        torch.randn(1, 3, 2, 5, 4, generator=generator),
        torch.randn(1, 4, 5, 4, generator=generator),
    )
    expected = oracle.prototype_logits(support[0].tolist(), query[0].tolist(), similarity, eps=0.2)
    found = Prototype(similarity, cosine_eps=0.2)(support, query)[0]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_by_hand():
    support = torch.tensor([[3.0, 0.0], [1.0, 0.0]]).view(
        1, 1, 2, 1, 2
    )  # two shots of one frame: mean (2, 0)
    query = torch.tensor([[2.0, 2.0], [4.0, 2.0]]).view(1, 1, 2, 2)[:, :, :1]  # (2, 2)
    assert Prototype("euclidean")(support, query).item() == pytest.approx(-4.0)
    assert Prototype("cosine", cosine_eps=1e-9)(support, query).item() == pytest.approx(0.5**0.5)


def test_close_pairs_of_large_features_keep_their_distance():
    support = torch.full((1, 1, 1, 1, 512), 1000.0)
    assert Prototype("euclidean")(support, support[:, 0] + 0.125).item() == pytest.approx(-512 / 64)


@pytest.mark.parametrize(("way", "queries"), [(3, 26), (5, 75), (30, 2)])
def test_close_pairs_keep_their_distance_with_many_queries_or_classes(way, queries):
    """torch computes distances as |x|^2 - 2xy + |y|^2 beyond 25 rows unless told otherwise, and loses these."""
    generator = torch.Generator().manual_seed(2)
    centers = 100 + torch.randn(1, way, 1, 1, 64, generator=generator, dtype=torch.float64)
    clips = centers[:, torch.arange(queries) % way, 0] + 0.01 * torch.randn(
        1, queries, 1, 64, generator=generator
    )
    support, query = centers.float(), clips.float()
    difference = query.double().squeeze(2)[:, :, None] - support.double()[:, None, :, 0, 0]
    expected = -difference.square().sum(-1)
    found = Prototype("euclidean")(support, query).double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


def test_no_order_of_frames_moves_it():
    generator = torch.Generator().manual_seed(1)
    support, query = (
        torch.rand(1, 3, 2, 5, 4, generator=generator),
        torch.rand(1, 4, 5, 4, generator=generator),
    )
    order = torch.tensor([4, 2, 0, 1, 3])
    for similarity in ("cosine", "euclidean"):
        metric = Prototype(similarity)
        torch.testing.assert_close(metric(support[:, :, :, order], query), metric(support, query))


def test_bad_parameters_name_the_valid_ones():
    with pytest.raises(
        FsarError, match="prototype: similarity='dot' is not valid; valid: 'cosine', 'euclidean'"
    ):
        Prototype("dot")
    with pytest.raises(FsarError, match="cosine_eps"):
        Prototype(cosine_eps=-1)
