import pytest
import torch
from torch import nn

from fsar_core.components.head import Head
from fsar_core.components.metric import Metric
from fsar_core.components.registry import build, entry, names
from fsar_core.errors import FsarError
from fsar_core.layers.vision_transformer import Block, ClassToken
from fsar_core.models.episode_model import EpisodeModel, build_model
from fsar_core.specs import Component
from fsar_core.training.loop import train
from fsar_core.types import HeadOutput
from tests.builders import toy_episodes, toy_features, toy_index
from tests.training.toys import MACHINE, SHAPE, Toy, equal_states, model_of, run_spec


class AddOne(Head):
    """A head that can be seen in the logits and has a loss."""

    def encode(self, clips):
        return clips

    def forward(self, support, query, **aux):
        return HeadOutput(support + 1, query, {"mean": query.mean()})


class Recorder(Metric):
    """A metric that keeps what it was given."""

    def __init__(self, spatial):
        super().__init__()
        self.spatial = spatial

    def compare(self, support, query):
        return self(*support, *query)

    def forward(self, support, query):
        self.support, self.query = support, query
        return torch.zeros(len(query), query.shape[1], support.shape[1])


@pytest.mark.parametrize("spatial", [False, True])
def test_tail_head_and_metric_in_this_order(spatial):
    episodes = toy_episodes(batch=2, way=3, shot=2, query=1, frames=4, dim=6, height=4, width=4)
    metric = Recorder(spatial)
    model = EpisodeModel(nn.AvgPool2d(2), AddOne(), metric)
    logits, losses = model(episodes)
    assert logits.shape == (2, 3, 3) and metric.support.shape[:5] == (2, 3, 2, 4, 6)
    grids = (
        nn.functional.avg_pool2d(clips.flatten(0, -4), 2)
        for clips in (episodes.support, episodes.query)
    )
    support, query = (grid if spatial else grid.mean(dim=(-2, -1)) for grid in grids)
    torch.testing.assert_close(metric.support, support.reshape(metric.support.shape) + 1)
    torch.testing.assert_close(metric.query, query.reshape(metric.query.shape))
    assert metric.support.dim() == (7 if spatial else 5)
    torch.testing.assert_close(losses["mean"], episodes.query.mean())


def test_a_tail_sees_every_frame_alone():
    torch.manual_seed(0)
    tail = nn.Sequential(nn.Conv2d(6, 5, 2), nn.ReLU())
    episodes = toy_episodes(batch=1, way=2, shot=1, query=1, frames=3, dim=6, height=3, width=3)
    metric = Recorder(True)
    EpisodeModel(tail, build("heads", "identity"), metric)(episodes)
    assert metric.query.shape == (1, 2, 3, 5, 2, 2)
    torch.testing.assert_close(metric.query[0, 1, 2], tail(episodes.query[0, 1, 2][None])[0])


@pytest.mark.parametrize("train_tail", [False, True])
def test_a_tail_is_frozen_unless_asked_for(train_tail):
    tail = nn.Sequential(nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16))
    spec = run_spec(train_tail=train_tail)
    model = model_of(spec, tail=tail, dim=16)
    model.train()
    assert model.training and model.matching.training
    assert (tail.training, tail[1].training) == (train_tail, train_tail)
    assert [p.requires_grad for p in tail.parameters()] == [train_tail] * 4
    of_tail = {id(p) for p in tail.parameters()}
    assert len([p for p in model.trainable if id(p) in of_tail]) == 4 * train_tail
    model.eval()
    assert not tail.training and not model.matching.training


@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_batch_norm_of_a_trained_tail(batch_norm):
    norm = nn.BatchNorm2d(2)
    norm.running_mean.copy_(torch.tensor([3.0, -1.0]))
    tail = nn.Sequential(nn.Conv2d(2, 2, 1), norm)
    model = model_of(run_spec(train_tail=True, batch_norm=batch_norm), tail=tail, dim=2).train()
    assert (
        norm.training == (batch_norm == "train") and norm.weight.requires_grad and tail[0].training
    )
    images = torch.randn(6, 2, 4, 4)
    found = model.tail(images)
    hidden = tail[0](images)
    if batch_norm == "frozen":
        expected = (hidden - torch.tensor([3.0, -1.0]).view(2, 1, 1)) / (1 + norm.eps) ** 0.5
        assert norm.running_mean.tolist() == [3.0, -1.0]
    else:
        mean, variance = (
            hidden.mean((0, 2, 3), keepdim=True),
            hidden.var((0, 2, 3), keepdim=True, unbiased=False),
        )
        expected = (hidden - mean) / (variance + norm.eps).sqrt()
        assert norm.running_mean.tolist() != [3.0, -1.0]
    torch.testing.assert_close(found, expected)
    assert not model.eval().tail[1].training


def test_build_model_passes_dim_and_frames_unless_named():
    model = build_model(
        run_spec(Component(name="trx", params={"out_dim": 8, "frames": 5})), nn.Identity(), 16, 8
    )
    assert (model.matching.dim, model.matching.frames) == (16, 5)
    assert type(model.head).__name__ == "Identity" and model.head.training
    model = build_model(run_spec("otam", head="dmgal"), nn.Identity(), 16, 8)
    assert type(model.matching).__name__ == "OTAM"
    assert (
        sum(p.numel() for p in model.trainable)
        == sum(p.numel() for p in model.head.parameters())
        > 0
    )


def test_unknown_parts_are_refused():
    with pytest.raises(FsarError, match="unknown name 'otem' in matching; did you mean 'otam'"):
        model_of(run_spec("otem"))
    with pytest.raises(
        FsarError, match="matching 'otam' has no parameter 'lamda_'; did you mean 'lambda_'"
    ):
        model_of(run_spec(Component(name="otam", params={"lamda_": 1.0})))


def test_initial_weights_by_value():
    """Weights drawn from other seeds would make every result another."""
    spec = run_spec(Component(name="trx", params={"out_dim": 8}), head="dmgal")
    state = build_model(spec, nn.Identity(), dim=16, frames=8).state_dict()
    pinned = {
        "head.self_attention.phi3.conv.weight": -0.2525702,
        "matching.transformers.0.k_linear.weight": -0.0329040,
    }
    assert {name: state[name].flatten()[0].item() for name in pinned} == pytest.approx(
        pinned, abs=1e-6
    )


def test_equal_parts_start_from_equal_weights_whatever_they_are_joined_to():
    """A metric's initial weights do not depend on the head before it, nor a head's on the metric behind it."""
    trx = Component(name="trx", params={"out_dim": 8})
    dmgal = Component(name="dmgal", params={"r1": 4, "r2": 4})
    base = run_spec()

    def weights(head, matching):
        spec = base.model_copy(update={"head": head, "matching": matching})
        return build_model(spec, nn.Identity(), dim=16, frames=8).state_dict()

    plain = weights(Component(name="identity"), trx)
    joined = weights(dmgal, trx)
    other = weights(dmgal, Component(name="bimhm"))
    assert all(torch.equal(plain[key], joined[key]) for key in plain if key.startswith("matching."))
    assert all(torch.equal(other[key], joined[key]) for key in other if key.startswith("head."))
    assert any(key.startswith("matching.") for key in plain) and any(
        key.startswith("head.") for key in other
    )


WRAPPING = [name for name in names("heads") if entry("heads", name).attributes["wraps_tail"]]


def vit_tail(dim=8, out_dim=None):
    torch.manual_seed(3)
    return nn.Sequential(Block(dim, 2), Block(dim, 2), ClassToken(dim, out_dim)).eval()


class TestHeadsThatWrapTheTail:
    def test_there_are_some(self):
        assert {"dmgal_adapter", "st_adapter", "aim"} <= set(WRAPPING)

    @pytest.mark.parametrize("name", WRAPPING)
    def test_the_tail_is_in_the_head_and_nowhere_else(self, name):
        tail = vit_tail()
        model = model_of(run_spec("bimhm", head=name), tail=tail)
        assert model.head.tail is tail and isinstance(model.tail, nn.Identity)
        assert {id(p) for p in model.trainable} == {
            id(p) for p in model.head.adapters.parameters()
        } | {id(p) for p in model.head.parameters(recurse=False)}

    @pytest.mark.parametrize("name", WRAPPING)
    @pytest.mark.parametrize("train_tail", [False, True])
    def test_the_tail_is_frozen_unless_asked_for(self, name, train_tail):
        tail = vit_tail()
        model = model_of(run_spec("bimhm", head=name, train_tail=train_tail), tail=tail).train()
        assert model.head.training and model.head.adapters.training and tail.training == train_tail
        assert {p.requires_grad for p in tail.parameters()} == {train_tail}
        assert {module.training for module in tail.modules()} == {train_tail}

    @pytest.mark.parametrize("name", WRAPPING)
    def test_an_untrained_one_is_the_identity_head_on_the_frozen_transformer(self, name):
        episodes = toy_episodes(batch=2, way=3, shot=2, query=1, frames=4, dim=8, height=5, width=1)
        wrapped = model_of(run_spec("otam", head=name), tail=vit_tail(out_dim=6)).eval()
        plain = model_of(run_spec("otam"), tail=vit_tail(out_dim=6)).eval()
        with torch.no_grad():
            torch.testing.assert_close(wrapped(episodes)[0], plain(episodes)[0])

    @pytest.mark.parametrize("name", WRAPPING)
    def test_the_metric_works_on_what_the_tail_gives(self, name):
        model = build_model(run_spec("trx", head=name), vit_tail(out_dim=6), dim=6, frames=4)
        assert model.matching.dim == 6 and model.head.dim == 8
        logits, losses = model(
            toy_episodes(batch=1, way=3, shot=1, query=1, frames=4, dim=8, height=5, width=1)
        )
        assert logits.shape == (1, 3, 3) and losses == {}

    @pytest.mark.parametrize("name", WRAPPING)
    @pytest.mark.parametrize("tail", [nn.Identity(), nn.Sequential(nn.Conv2d(8, 8, 1))])
    def test_no_transformer_behind_the_cut_is_one_line(self, name, tail):
        with pytest.raises(
            FsarError,
            match=f"^{name}: needs the blocks of a vision transformer behind the cut, found",
        ):
            model_of(run_spec("bimhm", head=name), tail=tail)

    @pytest.mark.parametrize("name", WRAPPING)
    def test_training_moves_the_adapters_and_leaves_the_transformer(self, name, tmp_path):
        spec = run_spec("bimhm", head=name, episodes=8, validations=1)
        values = toy_features(toy_index(), **SHAPE | dict(height=5))
        toy, model = Toy(spec, values), model_of(spec, tail=vit_tail())
        before = {key: value.clone() for key, value in model.state_dict().items()}
        best, _ = train(
            spec, model, toy.bank, toy.split, toy.validation, tmp_path / "last.pt", MACHINE
        )
        trained = {n for n, p in model.named_parameters() if p.requires_grad}
        assert trained <= {key for key in best if not torch.equal(before[key], best[key])}
        # The frozen transformer is as it was, and no checkpoint holds it.
        after = model.state_dict()
        assert (
            {key for key in before if key.startswith("head.tail.")}
            == before.keys() - best.keys()
            != set()
        )
        assert all(torch.equal(before[key], after[key]) for key in before.keys() - best.keys())
        again = model_of(spec, seed=9, tail=vit_tail())
        again.load_learned(best)
        assert equal_states(again.learned(), best)
        assert equal_states(again.state_dict(), {**after, **best})


class TestWhatACheckpointHolds:
    """A frozen tail is the backbone's, which has a file of its own; all the rest is the run's."""

    def tail(self):
        return nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))

    @pytest.mark.parametrize("train_tail", [False, True])
    def test_a_tail_is_held_where_it_is_trained(self, train_tail):
        model = model_of(run_spec("trx", train_tail=train_tail), tail=self.tail())
        every = set(model.state_dict())
        of_the_tail = {key for key in every if key.startswith("tail.")}
        assert len(of_the_tail) == 7
        assert set(model.learned()) == (every if train_tail else every - of_the_tail)

    def test_taken_whole_or_not_at_all(self):
        model = model_of(run_spec("trx"), tail=self.tail())
        state = model.learned()
        first = next(iter(state))
        with pytest.raises(RuntimeError, match="Missing key"):
            model.load_learned({key: value for key, value in state.items() if key != first})
        with pytest.raises(RuntimeError, match="Unexpected key"):
            model.load_learned(state | {"matching.other": state[first]})
