"""Laws of every head, found through the registry: a new file in fsar_core/heads is tested on arrival.

A head whose defaults do not fit 16 channels and 4 frames names smaller settings in SETTINGS; one that takes tensors beside
the features names them in AUX. No head may need one to be evaluated. A head that wraps the tail of a vision transformer
(`wraps_tail`) gets a small one and tokens in place of grids. A head that puts tokens for the whole clip before the frames
says how many (`global_tokens`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch._subclasses.fake_tensor import FakeTensorMode

from fsar_core.components.parameters import REQUIRED
from fsar_core.components.registry import accepted, build, entry, names
from fsar_core.errors import FsarError
from fsar_core.layers.vision_transformer import Block, ClassToken
from fsar_core.types import HeadOutput
from tests.contract.options import combinations, single_changes

DIM, FRAMES, GRID, TOKENS = 16, 4, (4, 3), (5, 1)

# head -> parameters that differ from their defaults
CLASSES = 5
SETTINGS: dict[str, dict] = {
    "i2st": {"classes": CLASSES},
    "sgtm": {"width": 8, "heads": 2, "masked": 2, "classes": CLASSES},
}

# name of a keyword of `forward` -> the tensor it takes, from support and query
AUX: dict[str, Callable] = {
    "labels": lambda support, query: (
        torch.arange(query.shape[1]).expand(query.shape[:2]) % support.shape[1]
    ),
    "support_masks": lambda support, query: torch.rand(*support.shape[:4], 9, 7),
    "query_masks": lambda support, query: torch.rand(*query.shape[:3], 9, 7),
    "support_classes": lambda support, query: torch.randint(CLASSES, support.shape[:3]),
    "query_classes": lambda support, query: torch.randint(CLASSES, query.shape[:2]),
    "support_saliency": lambda support, query: support.mean((-3, -2, -1)),
    "query_saliency": lambda support, query: query.mean((-3, -2, -1)),
}

HEADS = names("heads")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors of a few kilobytes: waiting for other threads would take longer than the sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(name: str, seed: int = 0, **params) -> torch.nn.Module:
    """A head with no weight at its initial value: a factor that starts at 0 would hide what it multiplies."""
    torch.manual_seed(seed)
    tail = torch.nn.Sequential(Block(DIM, 2), Block(DIM, 2), ClassToken(DIM, 6)).requires_grad_(
        False
    )
    params = (
        accepted("heads", name, dim=DIM, frames=FRAMES, tail=tail) | SETTINGS.get(name, {}) | params
    )
    head = build("heads", name, **params)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return head


def episode(name, batch=2, way=3, shot=2, query=4, seed=1):
    """Support and query features of the layout that a head takes."""
    generator = torch.Generator().manual_seed(seed)
    grid = TOKENS if entry("heads", name).attributes["wraps_tail"] else GRID
    support = torch.randn(batch, way, shot, FRAMES, DIM, *grid, generator=generator)
    return support, torch.randn(batch, query, FRAMES, DIM, *grid, generator=generator)


def aux_of(head: torch.nn.Module, support, query) -> dict:
    """The tensors that a head asks for by name in its signature."""
    keywords = list(inspect.signature(head.forward).parameters.values())[2:]
    keywords = [k for k in keywords if k.kind is not k.VAR_KEYWORD]
    return {k.name: AUX[k.name](support, query) for k in keywords}


def close(got: HeadOutput, support, query) -> None:
    torch.testing.assert_close(got.support, support, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(got.query, query, atol=1e-5, rtol=1e-4)


def test_there_are_heads_to_test():
    assert {
        "identity",
        "dmgal",
        "dmgal_adapter",
        "st_adapter",
        "aim",
        "i2st",
        "ipm",
        "sgtm",
    } <= set(HEADS)
    assert not [name for name in HEADS if name.startswith("_")]


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("way, shot, query", [(5, 1, 5), (2, 5, 3), (1, 1, 1)])
def test_an_episode_keeps_its_axes_and_annotated_shapes_hold(name, way, shot, query):
    support, queries = episode(name, 1, way, shot, query)
    head = make(name).eval()
    out = jaxtyped(typechecker=beartype)(type(head).forward)(head, support, queries)
    assert isinstance(out, HeadOutput)
    frames = FRAMES + entry("heads", name).attributes["global_tokens"]
    assert out.support.ndim == 7 and out.support.shape[:4] == (1, way, shot, frames)
    assert out.query.ndim == 6 and out.query.shape[:3] == (1, query, frames)
    assert out.support.shape[4:] == out.query.shape[3:]
    assert out.support.isfinite().all() and out.query.isfinite().all()


@pytest.mark.parametrize("name", HEADS)
def test_a_batch_is_its_episodes(name):
    head = make(name).eval()
    support, query = episode(name, batch=3)
    together = head(support, query)
    for b in range(3):
        alone = head(support[b : b + 1], query[b : b + 1])
        close(alone, together.support[b : b + 1], together.query[b : b + 1])


@pytest.mark.parametrize("name", HEADS)
def test_queries_do_not_see_each_other(name):
    head = make(name).eval()
    support, query = episode(name)
    together = head(support, query)
    for m in range(query.shape[1]):
        close(head(support, query[:, m : m + 1]), together.support, together.query[:, m : m + 1])


@pytest.mark.parametrize("name", HEADS)
def test_the_order_of_classes_and_shots_means_nothing(name):
    head = make(name).eval()
    support, query = episode(name)
    straight = head(support, query)
    way, shot = [2, 0, 1], [1, 0]
    close(
        head(support[:, way][:, :, shot], query),
        straight.support[:, way][:, :, shot],
        straight.query,
    )


@pytest.mark.parametrize("name", HEADS)
def test_evaluation_is_repeatable_and_leaves_its_inputs_alone(name):
    head = make(name).eval()
    support, query = episode(name)
    kept = support.clone(), query.clone()
    first, second = head(support, query), head(support, query)
    assert torch.equal(first.support, second.support) and torch.equal(first.query, second.query)
    assert torch.equal(support, kept[0]) and torch.equal(query, kept[1])


@pytest.mark.parametrize("name", HEADS)
def test_a_state_restores_the_head(name):
    support, query = episode(name)
    head, other = make(name), make(name, seed=7).eval()
    head(support, query, **aux_of(head, support, query))
    other.load_state_dict(head.state_dict())
    got = other(support, query)
    close(head.eval()(support, query), got.support, got.query)


@pytest.mark.parametrize("name", HEADS)
def test_training_gives_scalar_losses_and_gradients_to_inputs_and_weights(name):
    head = make(name).train()
    support, query = (features.requires_grad_() for features in episode(name))
    out = head(support, query, **aux_of(head, support, query))
    for loss, value in out.losses.items():
        assert value.ndim == 0 and value.isfinite(), loss
    (out.support.square().mean() + out.query.square().mean() + sum(out.losses.values())).backward()
    assert torch.count_nonzero(support.grad) and torch.count_nonzero(query.grad)
    trained = {n: p.grad for n, p in head.named_parameters() if p.requires_grad}
    assert [n for n, grad in trained.items() if grad is None or not grad.isfinite().all()] == []


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_is_finite(name):
    head = make(name).train()
    support, query = episode(name)
    with torch.autocast("cpu", torch.bfloat16):
        out = head(support, query, **aux_of(head, support, query))
    assert out.support.isfinite().all() and out.query.isfinite().all()
    assert all(value.isfinite() for value in out.losses.values())


@pytest.mark.parametrize("name", HEADS)
def test_tensors_that_a_head_does_not_know_are_ignored(name):
    head = make(name).eval()
    support, query = episode(name)
    plain = head(support, query)
    close(head(support, query, nobody_takes_this=torch.zeros(1)), plain.support, plain.query)


@pytest.mark.parametrize("name", HEADS)
def test_source_is_named_and_a_wrong_parameter_refused(name):
    module = inspect.getmodule(type(make(name)))
    assert "Source:" in module.__doc__
    assert entry("heads", name).summary
    with pytest.raises(FsarError, match="no parameter 'flavour'"):
        build("heads", name, flavour=1)


@pytest.mark.parametrize(
    "name", [name for name in HEADS if entry("heads", name).attributes["wraps_tail"]]
)
def test_a_head_that_wraps_a_tail_takes_it_and_holds_it_as_tail(name):
    """So that `EpisodeModel` can freeze it there."""
    assert entry("heads", name).parameters["tail"].default == REQUIRED
    assert type(make(name).tail) is torch.nn.Sequential


@pytest.mark.parametrize("name", HEADS)
def test_encode_and_relate_are_forward_in_two_steps(name):
    """A test encodes every clip once (`evaluation.protocol`)."""
    head = make(name).eval()
    support, query = episode(name)
    with torch.no_grad():
        expected = head(support, query)
        sides = head.encode(support), head.encode(query)
        got = head.relate(*sides)
        close(got, expected.support, expected.query)
        # Each clip by itself: others in the same call change nothing.
        one = head.encode(query[1:, 2])
    torch.testing.assert_close(one, sides[1][1:, 2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_both_ways_give_equal_features_under_every_option(name):
    """A test runs `encode` and `relate`, a training `forward`: both must be one model."""
    support, query = (features.double() for features in episode(name, way=2, query=3))
    tried, different = 0, {}
    for options in combinations("heads", name):
        try:
            head = make(name, **options).double().eval()
        except FsarError:  # some values exclude each other
            continue
        tried += 1
        with torch.no_grad():
            expected = head(support, query)
            got = head.relate(head.encode(support), head.encode(query))
        error = max(
            (got.support - expected.support).abs().max().item(),
            (got.query - expected.query).abs().max().item(),
        )
        if error > 1e-10:
            different[str(options)] = error
    assert tried >= len(combinations("heads", name)) / 2
    assert different == {}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", HEADS)
def test_everything_stays_on_the_device_of_the_features(name, training):
    """On a GPU that is not there: fake tensors have no values, but operations on two devices fail as on a real one.

    Masks are left out: which of them are known depends on their values.
    """
    for options in single_changes("heads", name) if training else [{}]:
        with FakeTensorMode():
            try:
                with torch.device("cuda"):
                    head = make(name, **options).train(training)
            except FsarError:  # some values exclude each other
                continue
            if options.get("saliency") == "live":
                head.load_classifier(head.classifier.state_dict())
            support, query = (features.cuda() for features in episode(name))
            aux = {
                word: value.cuda()
                for word, value in aux_of(head, support, query).items()
                if "masks" not in word
            }
            out = head(support, query, **aux)
            tensors = [out.support, out.query, *out.losses.values()]
        assert {tensor.device.type for tensor in tensors} == {"cuda"}, options


NUMBERS = [
    pytest.param(name, parameter, id=f"{name}-{parameter}")
    for name in HEADS
    for parameter in entry("heads", name).parameters
    if parameter.endswith("dropout")
]


@pytest.mark.parametrize(("name", "parameter"), NUMBERS)
def test_dropout_is_from_0_to_below_1(name, parameter):
    make(name, **{parameter: 0})
    make(name, **{parameter: 0.99})
    for rate in (-0.01, 1, 1.5, "0.1"):
        with pytest.raises(FsarError, match=f"dropout.*{rate}"):
            make(name, **{parameter: rate})
