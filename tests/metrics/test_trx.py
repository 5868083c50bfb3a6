import pytest
import torch

from fsar_core.errors import FsarError
from fsar_core.metrics.trx import TRX
from tests.oracles import matching as oracle


def published_trx(numbers, cardinality=None):
    """TRX with the published weights, of both cardinalities or of one."""
    cardinalities = (2, 3) if cardinality is None else (cardinality,)
    metric = TRX(dim=32, cardinalities=cardinalities, out_dim=20)
    weights = {}
    for i, c in enumerate(cardinalities):
        for name in metric.transformers[i].state_dict():
            weights[f"transformers.{i}.{name}"] = numbers[f"trx{c}.{name}"]
    metric.load_state_dict(weights)
    return metric.eval()


def tiny(**params) -> TRX:
    torch.manual_seed(0)
    metric = TRX(**{"dim": 5, "out_dim": 3, "frames": 4, **params})
    for (
        transformer
    ) in metric.transformers:  # at initialisation the norm is the identity and would hide mistakes
        torch.nn.init.normal_(transformer.norm_k.weight)
        torch.nn.init.normal_(transformer.norm_k.bias)
    return metric.eval()


def tiny_episode():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 3, 2, 4, 5, generator=generator), torch.randn(
        1, 2, 4, 5, generator=generator
    )


@oracle.reads_published
@pytest.mark.parametrize("shot", [1, 5])
@pytest.mark.parametrize(
    ("cardinality", "name"), [(None, "trx_logits"), (2, "trx2_logits"), (3, "trx3_logits")]
)
def test_published_logits(shot, cardinality, name):
    numbers = oracle.published(shot)
    found = published_trx(numbers, cardinality)(numbers["support"], numbers["query"])[0]
    torch.testing.assert_close(found, numbers[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize("cardinalities", [(2, 3), (1,), (4, 2)])
def test_oracle(cardinalities):
    metric, (support, query) = tiny(cardinalities=cardinalities), tiny_episode()
    weights = {
        c: {name: value.tolist() for name, value in transformer.state_dict().items()}
        for c, transformer in zip(cardinalities, metric.transformers)
    }
    expected = oracle.trx_logits(support[0].tolist(), query[0].tolist(), cardinalities, weights)
    torch.testing.assert_close(
        metric(support, query)[0], torch.tensor(expected), atol=1e-4, rtol=1e-5
    )


def test_parameter_count_is_the_published_one_less_the_unused_norms():
    with torch.device("meta"):
        metric = TRX(dim=2048)
    assert (
        sum(p.numel() for p in metric.parameters())
        == 23_606_784 - len(metric.transformers) * 2 * 1152
    )
    names = {name.split(".")[2] for name, _ in metric.named_parameters()}
    assert names == {"k_linear", "v_linear", "norm_k"}
    assert [len(transformer.tuples) for transformer in metric.transformers] == [28, 56]


def test_state_holds_weights_only():
    assert not [name for name in tiny().state_dict() if "tuples" in name]


def test_order_of_frames_matters():
    metric, (support, query) = tiny(), tiny_episode()
    assert (metric(support, query.flip(2)) - metric(support, query)).abs().max() > 0.01


def test_dropout_is_random_in_training_only():
    metric, (support, query) = tiny(dropout=0.5), tiny_episode()
    assert torch.equal(metric(support, query), metric(support, query))
    metric.train()
    assert not torch.allclose(metric(support, query), metric(support, query))
    still = tiny(dropout=0).train()
    torch.testing.assert_close(still(support, query), tiny()(support, query))


def test_other_frames_or_dim_than_built_for_are_refused():
    metric, (support, query) = tiny(), tiny_episode()
    with pytest.raises(FsarError, match="trx: built for frames=4, got features with frames=3"):
        metric(support[:, :, :, :3], query[:, :, :3])
    with pytest.raises(FsarError, match="trx: built for dim=5, got features with dim=4"):
        metric(support[..., :4], query[..., :4])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dim": 0}, "trx: dim=0 is not valid; valid: whole numbers from 1"),
        ({"out_dim": 1.5}, "out_dim"),
        ({"frames": -8}, "frames"),
        ({"dropout": 1.0}, "trx: dropout=1.0 is not valid; valid: numbers from 0 to below 1"),
        (
            {"cardinalities": ()},
            r"trx: cardinalities=\(\) is not valid; valid: different whole numbers from 1 to 4",
        ),
        ({"cardinalities": (2, 2)}, "cardinalities"),
        ({"cardinalities": 2}, "cardinalities"),
        (
            {"cardinalities": (2, 5)},
            r"cardinalities=\(2, 5\) is not valid; valid: different whole numbers from 1 to 4",
        ),
    ],
)
def test_bad_parameters_name_the_valid_ones(params, message):
    with pytest.raises(FsarError, match=message):
        tiny(**params)


def test_cardinalities_may_be_a_list_as_yaml_gives_them():
    assert len(tiny(cardinalities=[2, 3]).transformers) == 2
