import pytest
import torch

from fsar_core.errors import FsarError
from fsar_core.metrics.sca import SCA
from tests.oracles import matching as oracle


def tiny(**params) -> SCA:
    torch.manual_seed(0)
    metric = SCA(**{"dim": 5, "out_dim": 3, **params})
    torch.nn.init.normal_(metric.norm_qk.weight)
    torch.nn.init.normal_(metric.norm_qk.bias)
    return metric.eval()


def tiny_episode(height=2, width=3, frames=3):
    generator = torch.Generator().manual_seed(1)
    support = torch.randn(1, 3, 2, frames, 5, height, width, generator=generator)
    return support, torch.randn(1, 2, frames, 5, height, width, generator=generator)


@pytest.mark.parametrize(("height", "width"), [(2, 3), (1, 1), (4, 2)])
def test_oracle(height, width):
    metric, (support, query) = tiny(), tiny_episode(height, width)
    weights = {name: value.tolist() for name, value in metric.state_dict().items()}
    expected = oracle.sca_logits(support[0].tolist(), query[0].tolist(), weights)
    torch.testing.assert_close(
        metric(support, query)[0], torch.tensor(expected), atol=1e-4, rtol=1e-5
    )


def test_parameter_count_is_the_published_one_less_the_unused_norm():
    with torch.device("meta"):
        metric = SCA(dim=2048)
    assert sum(p.numel() for p in metric.parameters()) == 4_725_504 - 2 * 1152


def test_frames_are_compared_one_by_one():
    metric, (support, query) = tiny(), tiny_episode()
    order = torch.tensor([2, 0, 1])
    expected = metric(support, query)
    torch.testing.assert_close(metric(support[:, :, :, order], query[:, :, order]), expected)
    assert (metric(support, query[:, :, order]) - expected).abs().max() > 0.01


def test_positions_of_patches_matter():
    metric, (support, query) = tiny(), tiny_episode()
    turned = metric(support.flip(-1), query.flip(-1))
    assert (turned - metric(support, query)).abs().max() > 1e-3


def test_dropout_is_random_in_training_only():
    metric, (support, query) = tiny(dropout=0.5), tiny_episode()
    assert torch.equal(metric(support, query), metric(support, query))
    metric.train()
    assert not torch.allclose(metric(support, query), metric(support, query))


def test_features_without_a_grid_or_of_another_dim_are_refused():
    metric, (support, query) = tiny(), tiny_episode()
    with pytest.raises(
        FsarError, match=r"sca: support must be \[batch way shot frames dim height width\]"
    ):
        metric(support.mean((-1, -2)), query.mean((-1, -2)))
    with pytest.raises(FsarError, match="sca: built for dim=5, got features with dim=4"):
        metric(support[:, :, :, :, :4], query[:, :, :, :4])
    with pytest.raises(FsarError, match="must agree in batch frames dim height width"):
        metric(support[..., :2], query)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dim": "2048"}, "sca: dim='2048' is not valid; valid: whole numbers from 1"),
        ({"out_dim": 0}, "out_dim"),
        ({"dropout": -0.1}, "dropout"),
    ],
)
def test_bad_parameters_name_the_valid_ones(params, message):
    with pytest.raises(FsarError, match=message):
        tiny(**params)
