"""Laws of every matching metric; a new file in fsar_core/metrics is found and tested by its name alone."""

from __future__ import annotations

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from fsar_core.components.registry import accepted, build, entry, names
from fsar_core.errors import FsarError
from tests.contract.options import combinations

SIZES = {"batch": 2, "way": 3, "shot": 2, "query": 4, "frames": 4, "dim": 6}


def variants():
    for name in names("matching"):
        parameters = entry("matching", name).parameters
        for shots in parameters["shots"].choices if "shots" in parameters else (None,):
            params = {} if shots is None else {"shots": shots}
            yield pytest.param((name, params), id="-".join([name, *params.values()]))


@pytest.fixture(params=variants())
def metric(request):
    """metric(dim=, frames=) builds the metric in eval mode, the same weights every time."""
    name, params = request.param

    def make(dim: int = SIZES["dim"], frames: int = SIZES["frames"], **_):
        torch.manual_seed(0)
        return build(
            "matching",
            name,
            **accepted("matching", name, dim=dim, frames=frames, out_dim=8),
            **params,
        ).eval()

    return make


def episode(spatial: bool, seed: int = 0, **sizes):
    """Random non-negative features, as after a ReLU: support, query."""
    batch, way, shot, query, frames, dim = (SIZES | sizes).values()
    grid = (2, 3) if spatial else ()
    generator = torch.Generator().manual_seed(seed)
    support = torch.randn(batch, way, shot, frames, dim, *grid, generator=generator).relu()
    return support, torch.randn(batch, query, frames, dim, *grid, generator=generator).relu()


def test_there_are_metrics():
    assert {"bimhm", "global_local", "otam", "prototype", "sca", "trx"} <= set(names("matching"))


def test_it_says_whether_it_is_spatial(metric):
    assert isinstance(type(metric()).spatial, bool)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"way": 1, "shot": 1, "query": 1, "batch": 1},
        {"way": 5, "shot": 5, "query": 2, "frames": 8},
        {"query": 7, "frames": 3, "dim": 9},
    ],
    ids=["small", "ones", "5way5shot", "odd"],
)
def test_every_size_is_free_and_annotated_shapes_hold(metric, sizes):
    module = metric(**sizes)
    support, query = episode(module.spatial, **sizes)
    typed = jaxtyped(typechecker=beartype)(type(module).forward)
    logits = typed(module, support, query)
    assert logits.shape == (support.shape[0], query.shape[1], support.shape[1])
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_deterministic_in_eval_mode(metric):
    support, query = episode(metric().spatial)
    assert torch.equal(metric()(support, query), metric()(support, query))


def test_a_batch_of_episodes_is_its_episodes_one_by_one(metric):
    module = metric()
    support, query = episode(module.spatial, batch=3)
    alone = torch.cat([module(support[i : i + 1], query[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(module(support, query), alone, atol=1e-5, rtol=1e-5)
    assert (alone[0] - alone[1]).abs().max() > 1e-4


def test_a_query_is_judged_alone(metric):
    module = metric()
    support, query = episode(module.spatial)
    torch.testing.assert_close(
        module(support, query)[:, 1:2], module(support, query[:, 1:2]), atol=1e-5, rtol=1e-5
    )


def test_each_clip_is_encoded_alone(metric):
    """In any surroundings, and `compare` of encoded clips is `forward`."""
    module = metric()
    support, query = episode(module.spatial)
    sides = module.encode(support), module.encode(query)
    torch.testing.assert_close(module.compare(*sides), module(support, query), atol=0, rtol=0)
    clips = torch.cat([support.flatten(0, 2), query.flatten(0, 1)])
    for part, one in zip(module.encode(clips), module.encode(clips[7]), strict=True):
        assert len(part) == len(clips)
        torch.testing.assert_close(part[7], one, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", names("matching"))
@pytest.mark.parametrize("shot", [1, 3])
def test_both_ways_give_equal_logits_under_every_option(name, shot):
    tried, different = 0, {}
    for options in combinations("matching", name):
        offered = accepted("matching", name, dim=SIZES["dim"], frames=SIZES["frames"], out_dim=8)
        try:
            metric = build("matching", name, **offered | options).double().eval()
        except FsarError:  # some values exclude each other
            continue
        tried += 1
        support, query = (features.double() for features in episode(metric.spatial, shot=shot))
        support, query = support + 0.1, query - 0.1
        with torch.no_grad():
            error = metric(support, query) - metric.compare(
                metric.encode(support), metric.encode(query)
            )
        if error.abs().max() > 1e-12:
            different[str(options)] = error.abs().max().item()
    assert tried >= len(combinations("matching", name)) / 2
    assert different == {}


@pytest.mark.parametrize("name", names("matching"))
def test_everything_stays_on_the_device_of_the_features(name):
    """On a GPU that is not there: fake tensors have no values, but operations on two devices fail as on a real one."""
    for options in combinations("matching", name):
        offered = accepted("matching", name, dim=SIZES["dim"], frames=SIZES["frames"], out_dim=8)
        with FakeTensorMode():
            try:
                with torch.device("cuda"):
                    metric = build("matching", name, **offered | options)
            except FsarError:  # some values exclude each other
                continue
            support, query = (features.cuda() for features in episode(metric.spatial))
            assert metric(support, query).device.type == "cuda", options


@pytest.mark.parametrize(
    "name", [name for name in names("matching") if "dropout" in entry("matching", name).parameters]
)
def test_dropout_is_from_0_to_below_1(name):
    def make(dropout):
        return build(
            "matching",
            name,
            **accepted("matching", name, dim=6, frames=4, out_dim=8),
            dropout=dropout,
        )

    make(0), make(0.99)
    for rate in (-0.01, 1, 1.5):
        with pytest.raises(FsarError, match=f"dropout.*{rate}"):
            make(rate)


def test_permuting_classes_permutes_logits(metric):
    module, order = metric(), torch.tensor([2, 0, 1])
    support, query = episode(module.spatial)
    expected = module(support, query)[:, :, order]
    torch.testing.assert_close(module(support[:, order], query), expected, atol=1e-5, rtol=1e-5)


def test_permuting_queries_permutes_logits(metric):
    module, order = metric(), torch.tensor([3, 1, 0, 2])
    support, query = episode(module.spatial)
    expected = module(support, query)[:, order]
    torch.testing.assert_close(module(support, query[:, order]), expected, atol=1e-5, rtol=1e-5)


def test_permuting_shots_changes_nothing(metric):
    module, order = metric(), torch.tensor([4, 2, 0, 1, 3])
    support, query = episode(module.spatial, shot=5)
    expected = module(support, query)
    torch.testing.assert_close(module(support[:, :, order], query), expected, atol=1e-5, rtol=1e-5)
    assert (module(support[:, :, :3], query) - expected).abs().max() > 1e-4


def test_five_equal_shots_are_one_shot(metric):
    module = metric()
    support, query = episode(module.spatial, shot=1)
    five = torch.cat([support] * 5, dim=2)
    torch.testing.assert_close(module(five, query), module(support, query), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("shot", [1, 2])
def test_a_support_like_the_query_wins(metric, shot):
    module = metric(dim=32)
    support, _ = episode(module.spatial, batch=20, way=3, shot=1, dim=32)
    query = support[:, :, 0]
    logits = module(torch.cat([support] * shot, dim=2), query)
    assert torch.equal(logits.argmax(dim=2), torch.arange(3).expand(20, 3))


@pytest.mark.parametrize("scale", [1.0, 0.0], ids=["random", "zero"])
def test_gradients_reach_everything_and_are_finite(metric, scale):
    module = metric()
    support, query = (scale * features for features in episode(module.spatial))
    support.requires_grad_(), query.requires_grad_()
    logits = module(support, query)
    assert logits.isfinite().all()
    logits.softmax(dim=2)[..., 0].sum().backward()
    for name, tensor in [("support", support), ("query", query), *module.named_parameters()]:
        assert tensor.grad is not None, f"{name} has no gradient"
        assert tensor.grad.isfinite().all(), f"the gradient of {name} is not finite"
    if scale:
        assert support.grad.abs().max() > 0
        assert query.grad.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_give_the_logits_of_their_values(metric, dtype):
    module = metric()
    support, query = (100 * features.to(dtype) for features in episode(module.spatial))
    logits = module(support, query)
    assert logits.isfinite().all()
    torch.testing.assert_close(
        logits.float(), module(support.float(), query.float()), atol=1e-4, rtol=1e-4
    )


def test_autocast_costs_no_more_than_its_rounding(metric):
    module = metric()
    support, query = episode(module.spatial)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = module(support, query)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, module(support, query), atol=0.05, rtol=0.05)


def test_float64_is_kept(metric):
    module = metric().double()
    support, query = (features.double() for features in episode(module.spatial))
    assert module(support, query).dtype == torch.float64


class Watch(TorchDispatchMode):
    """Counts tensor operations and the bytes of the largest storage that one of them returned."""

    def __init__(self):
        super().__init__()
        self.operations, self.largest = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.operations += 1
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
        return result


def watched(module, **sizes) -> Watch:
    features = episode(module.spatial, **sizes)
    with torch.no_grad(), Watch() as watch:
        module(*features)
    return watch


def test_nothing_loops_over_episodes_classes_shots_or_queries(metric):
    few = watched(metric(), batch=2, way=2, shot=2, query=2).operations
    many = watched(metric(), batch=3, way=5, shot=4, query=7).operations
    assert 0 < many == few


def test_no_copy_of_the_support_for_every_query(metric):
    sizes = SIZES | {"batch": 1, "shot": 5, "query": 12, "dim": 128}
    module = metric(**sizes)
    support, _ = episode(module.spatial, **sizes)
    largest = watched(module, **sizes).largest
    assert (
        support.untyped_storage().nbytes()
        <= largest
        < sizes["query"] * support.untyped_storage().nbytes() / 2
    )


def test_wrong_shapes_are_one_line_errors(metric):
    module = metric()
    support, query = episode(module.spatial)
    wrong = {
        "support without shots": (support[:, :, 0], query),
        "query without frames": (support, query[:, :, 0]),
        "other frames": (support[:, :, :, :3], query),
        "other dim": (support[:, :, :, :, :5], query),
        "other batch": (support[:1], query),
        "no classes": (support[:, :0], query),
    }
    for case, features in wrong.items():
        with pytest.raises(FsarError) as caught:
            module(*features)
        assert "\n" not in str(caught.value), case
        assert "shape" in str(caught.value), case
