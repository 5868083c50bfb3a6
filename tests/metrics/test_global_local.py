import pytest
import torch

from fsar_core.components.registry import build, check, having, names
from fsar_core.errors import FsarError
from fsar_core.metrics.global_local import GlobalLocal
from tests.oracles import i2st as oracle
from tests.oracles import matching

LOCALS = ["bimhm", "otam", "prototype", "trx"]


def random_episode(seed: int, batch=1, way=3, shot=2, query=4, tokens=5, dim=4):
    """The first of the tokens stands for the clip."""
    generator = torch.Generator().manual_seed(seed)
    support = torch.randn(batch, way, shot, tokens, dim, generator=generator)
    return support, torch.randn(batch, query, tokens, dim, generator=generator)


def metric(local, **params) -> GlobalLocal:
    torch.manual_seed(0)
    return GlobalLocal(local, **{"dim": 4, "frames": 4} | params).eval()


def oracle_of(local, module: GlobalLocal):
    if local != "trx":
        return {
            "bimhm": matching.bimhm_logits,
            "otam": lambda support, query: matching.otam_logits(support, query, lambda_=0.5),
            "prototype": lambda support, query: matching.prototype_logits(support, query, "cosine"),
            None: None,
        }[local]
    weights = {
        c: {name: value.tolist() for name, value in transformer.state_dict().items()}
        for c, transformer in zip((2, 3), module.local.transformers)
    }
    return lambda support, query: matching.trx_logits(support, query, (2, 3), weights)


@pytest.mark.parametrize("local", [*LOCALS, None])
def test_oracle(local):
    module, (support, query) = (
        metric(local, local_params={"out_dim": 3} if local == "trx" else None),
        random_episode(0),
    )
    expected = oracle.global_local_logits(
        support[0].tolist(), query[0].tolist(), oracle_of(local, module)
    )
    torch.testing.assert_close(
        module(support, query)[0], torch.tensor(expected), atol=1e-4, rtol=1e-5
    )


@pytest.mark.parametrize("local", having("matching", "sums_frames"))
def test_mean_divides_the_local_term_by_both_clips_frames(local):
    module, (support, query) = metric(local, scale="mean"), random_episode(1)
    expected = oracle.global_local_logits(
        support[0].tolist(), query[0].tolist(), oracle_of(local, module), divide=True
    )
    torch.testing.assert_close(
        module(support, query)[0], torch.tensor(expected), atol=1e-5, rtol=1e-5
    )


def test_mean_of_bimhm_on_opposed_features_is_minus_two_minus_one():
    support = torch.ones(1, 1, 1, 7, 3)
    found = GlobalLocal(scale="mean", cosine_eps=1e-9, local_params={"cosine_eps": 1e-9})(
        support, -support[:, 0]
    )
    assert found.item() == pytest.approx(-3.0)


@pytest.mark.parametrize("shots", ["prototype", "distance"])
@pytest.mark.parametrize("local", LOCALS)
def test_both_terms_are_the_sum_of_each(local, shots):
    """L + G = G+L of Table 5; the local term is that metric on the frames, whose shots are averaged first or not."""
    features = random_episode(2, batch=2)
    both, only_local, only_global = (
        metric(name, global_=global_, shots=shots)
        for name, global_ in ((local, True), (local, False), (None, True))
    )
    torch.testing.assert_close(both(*features), only_local(*features) + only_global(*features))
    support, query = features
    merged = support.mean(2, keepdim=True) if shots == "prototype" else support
    torch.testing.assert_close(
        only_local(*features), only_local.local(merged[:, :, :, 1:], query[:, :, 1:])
    )
    cosine = torch.cosine_similarity(
        merged[:, None, :, :, 0], query[:, :, None, None, 0], dim=-1
    ).mean(-1)
    torch.testing.assert_close(metric(None, shots=shots, cosine_eps=1e-9)(*features), cosine)


def test_shots_are_averaged_before_and_not_after_unless_asked_for():
    support, query = random_episode(3)
    found = [metric("otam", shots=shots)(support, query) for shots in ("prototype", "distance")]
    assert (found[0] - found[1]).abs().max() > 0.01


def test_each_term_looks_at_its_own_part_alone():
    support, query = random_episode(4)
    token, frames = query.clone(), query.clone()
    token[:, :, 0] += torch.randn(4)
    frames[:, :, 1:] += torch.randn(4, 4)
    for changed, local, global_, same in (
        (token, "bimhm", False, True),
        (frames, None, True, True),
        (token, None, True, False),
        (frames, "bimhm", False, False),
    ):
        module = metric(local, global_=global_)
        assert torch.equal(module(support, changed), module(support, query)) == same


def test_parameters_reach_the_local_metric():
    assert metric("otam", local_params={"lambda_": 0.1}).local.lambda_ == 0.1
    trx = metric("trx", frames=6, local_params={"out_dim": 3, "cardinalities": [2]}).local
    assert (
        trx.dim,
        trx.frames,
        len(trx.transformers),
        trx.transformers[0].k_linear.out_features,
    ) == (4, 6, 1, 3)
    own = metric("trx", local_params={"dim": 5, "frames": 3}).local
    assert (own.dim, own.frames) == (5, 3)


def test_a_trained_local_metric_learns():
    module, features = metric("trx", local_params={"out_dim": 3}), random_episode(5)
    module(*features).square().sum().backward()
    assert all(
        torch.count_nonzero(p.grad) for p in module.local.transformers.parameters() if p.ndim == 2
    )


@pytest.mark.parametrize(
    "local", [name for name in names("matching") if name not in ("sca", "global_local")]
)
def test_every_metric_of_frames_can_be_the_local_one(local):
    logits = metric(local)(*random_episode(8))
    assert logits.shape == (1, 4, 3) and logits.isfinite().all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"local": None, "global_": False}, "leaves nothing to compare"),
        (
            {"local": None, "local_params": {"shots": "distance"}},
            "local_params without a local metric",
        ),
        ({"local": "bimh"}, "unknown name 'bimh' in matching; did you mean 'bimhm'"),
        ({"local": "sca", "dim": 4}, "local='sca' compares grids"),
        ({"local": "global_local"}, "local='global_local' expects a global token itself"),
        ({"local": "trx"}, "matching 'trx' needs the parameter 'dim'"),
        ({"local_params": {"lambda_": 1}}, "matching 'bimhm' has no parameter 'lambda_'"),
        (
            {"local": "prototype", "scale": "mean"},
            "scale='mean' needs a local metric that sums over frames: bimhm, otam",
        ),
        ({"scale": "max"}, "scale='max' is not valid; valid: 'sum', 'mean'"),
        ({"global_": "no"}, "global_='no' is not valid; valid: True, False"),
        ({"shots": 5}, "shots=5 is not valid; valid: 'distance', 'prototype'"),
        ({"cosine_eps": 0}, "cosine_eps=0 is not valid; valid: numbers above 0"),
    ],
)
def test_bad_parameters_name_the_valid_ones(params, message):
    with pytest.raises(FsarError, match=message) as caught:
        GlobalLocal(**params)
    assert "\n" not in str(caught.value)


def test_mistakes_in_a_configuration_are_found_without_building():
    with pytest.raises(FsarError, match="scale='max' is not valid"):
        check("matching", "global_local", {"scale": "max"})
    assert build("matching", "global_local", local=None).local is None


def test_a_token_without_frames_serves_the_global_term_alone():
    support, query = random_episode(6, tokens=1)
    assert metric(None)(support, query).shape == (1, 4, 3)
    with pytest.raises(FsarError, match="a global token and at least one frame"):
        metric("bimhm")(support, query)


def test_a_token_and_one_frame_are_enough():
    support, query = random_episode(6, tokens=2)
    both = metric("bimhm")(support, query)
    parts = metric("bimhm", global_=False)(support, query) + metric(None)(support, query)
    torch.testing.assert_close(both, parts)


def test_frames_of_trx_are_those_behind_the_token():
    support, query = random_episode(7, tokens=4)
    with pytest.raises(FsarError, match="trx: built for frames=4, got features with frames=3"):
        metric("trx")(support, query)
