import numpy as np
import pytest
import torch
from torch import nn

from fsar_core.components.metric import Metric
from fsar_core.episodes.loader import FeatureBank
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.errors import FsarError
from fsar_core.evaluation import protocol
from fsar_core.evaluation.protocol import accuracy, logits, query_results
from fsar_core.layers.vision_transformer import Block, ClassToken
from fsar_core.runtime import devices
from fsar_core.runtime.devices import Machine
from fsar_core.specs import Component, EpisodeSpec
from tests.builders import toy_features, toy_index
from tests.training.toys import SHAPE, ArrayReader, Toy, model_of, run_spec

CPU = torch.device("cpu")


def hand_made() -> tuple[EpisodeTable, np.ndarray]:
    """Two 2-way episodes of a split with four classes, three queries each."""
    table = EpisodeTable(
        spec=EpisodeSpec(
            dataset="toy",
            card="0",
            split="test",
            way=2,
            shot=1,
            query=1,
            count=2,
            seed=0,
            group_disjoint=False,
        ),
        class_names=("a", "b", "c", "d"),
        classes=np.array([[3, 1], [0, 2]]),
        support=np.array([[[90], [91]], [[92], [93]]]),
        query=np.array([[10, 11, 12], [20, 21, 22]]),
        labels=np.array([[0, 1, 0], [1, 1, 0]]),
    )
    scores = np.array(
        [[[2.0, 1.0], [0.5, 0.25], [-3.0, -1.0]], [[0.0, 4.0], [1.5, 1.0], [7.0, -1.0]]], np.float32
    )
    return table, scores


def test_query_results_by_hand():
    found = query_results(*hand_made())
    assert list(found.columns) == ["episode", "clip", "class", "predicted", "correct", "margin"]
    assert found.to_numpy().tolist() == [
        [0, 10, 3, 3, 1, 1.0],
        [0, 11, 1, 3, 0, -0.25],
        [0, 12, 3, 1, 0, -2.0],
        [1, 20, 2, 2, 1, 4.0],
        [1, 21, 2, 0, 0, -0.5],
        [1, 22, 0, 0, 1, 8.0],
    ]
    assert [found[name].dtype.kind for name in found.columns] == ["i", "i", "i", "i", "i", "f"]


def test_margin_is_to_the_best_other_class():
    table, _ = hand_made()
    table = EpisodeTable(
        spec=table.spec,
        class_names=table.class_names,
        classes=np.array([[2, 0, 3]]),
        support=np.array([[[1], [2], [3]]]),
        query=np.array([[5, 6]]),
        labels=np.array([[1, 2]]),
    )
    found = query_results(table, np.array([[[5.0, 3.0, 4.0], [-1.0, -4.0, 0.5]]], np.float32))
    assert found["margin"].tolist() == [-2.0, 1.5]
    assert found["class"].tolist() == [0, 3] and found["predicted"].tolist() == [2, 3]


@pytest.fixture(scope="module")
def toy():
    spec = run_spec()
    return Toy(spec), model_of(spec)


def test_logits_are_those_of_single_episodes(toy):
    toy, model = toy
    found = logits(model, toy.bank, toy.test, Machine(CPU, False, 7))
    assert found.shape == (20, 3, 3) and found.dtype == np.float32
    for index in (0, 6, 7, 19):
        with torch.no_grad():
            expected = model.eval()(toy.bank.batch([toy.test[index]]))[0]
        np.testing.assert_allclose(found[index], expected[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_shown_only_on_request(toy, capsys, progress):
    toy, model = toy
    logits(model, toy.bank, toy.test, Machine(CPU, False, 7), progress=progress)
    shown = capsys.readouterr().err
    assert ("episodes" in shown and "clips" in shown) if progress else shown == ""


@pytest.mark.parametrize("size", [1, 3, 20, 64])
def test_accuracy_does_not_depend_on_the_evaluation_batch(toy, size):
    toy, model = toy
    whole = logits(model, toy.bank, toy.test, Machine(CPU, False, 10))
    parts = logits(model, toy.bank, toy.test, Machine(CPU, False, size))
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)
    expected = float((whole.argmax(-1) == toy.test.labels).mean())
    assert accuracy(model, toy.bank, toy.test, Machine(CPU, False, size)) == expected
    assert 0 < expected < 1


WHOLE = [  # heads whose clips meet before the metric, and heads whose clips do not
    ("identity", {}, "trx", None),
    ("dmgal", {"r1": 2, "r2": 2}, "bimhm", None),
    ("dmgal", {"r1": 2, "c_mga": None}, "sca", None),
    ("i2st", {"heads": 2, "r": 2, "classes": 3}, "global_local", None),
    ("st_adapter", {}, "otam", 5),
    ("dmgal_adapter", {}, "otam", 5),
    ("dmgal_adapter", {"cmga": False}, "otam", 5),
]


def whole(head, params, matching, tokens) -> tuple[Toy, nn.Module]:
    """A toy of WHOLE; scalars that begin at 0 would hide a part of it."""
    grid = dict(height=tokens, width=1) if tokens else dict(height=3, width=3)
    matching = Component(name=matching, params={"out_dim": 8} if matching in ("trx", "sca") else {})
    spec = run_spec(matching).model_copy(update={"head": Component(name=head, params=params)})
    tail = nn.Sequential(Block(8, 2), Block(8, 2), ClassToken(8)) if tokens else None
    model = model_of(spec, tail=tail)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(
                0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            )
    return Toy(spec, toy_features(toy_index(), **SHAPE | grid)), model


@pytest.mark.parametrize(("head", "params", "matching", "tokens"), WHOLE)
def test_every_clip_is_encoded_once_and_the_logits_are_the_same(head, params, matching, tokens):
    toy, model = whole(head, params, matching, tokens)
    seen, machine = [], Machine(CPU, False, 7)
    original = model.head.encode
    model.head.encode = lambda videos: seen.append(len(videos)) or original(videos)
    once = logits(model, toy.bank, toy.test, machine)
    assert sum(seen) == len(toy.test.rows) and max(seen) == 7
    toy.bank.memory_gib = 0.0
    anew = logits(model, toy.bank, toy.test, machine)
    np.testing.assert_allclose(once, anew, rtol=1e-4, atol=1e-4)
    assert anew.std() > 0


def test_what_the_metric_makes_of_clips_is_held_where_it_fits():
    """TRX's keys and values are larger than the clips: they are held, or the clips alone are, or nothing is."""
    spec = run_spec(Component(name="trx", params={"out_dim": 64}))
    toy = Toy(spec, toy_features(toy_index(), **SHAPE | dict(height=3, width=3)))
    model, machine = model_of(spec), Machine(CPU, False, 7)
    clips = toy.bank.prepared(toy.bank.clips(toy.test.rows[:1])[None], "query", [None])[0]
    large, small = (
        sum(part.nbytes for part in model.encode(clips, metric)) for metric in (True, False)
    )
    assert large > 2 * small
    embed, seen = model.matching.encode, []
    model.matching.encode = lambda clips: seen.append(clips.shape) or embed(clips)
    found, calls = [], []
    for held in (large, small, 0):
        seen.clear()
        toy.bank.memory_gib = held * len(toy.test.rows) / 2**30
        found.append(logits(model, toy.bank, toy.test, machine))
        calls.append(
            sum(shape[0] * (shape[1:-2].numel() if len(shape) > 3 else 1) for shape in seen)
        )
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, rtol=1e-4, atol=1e-4)
    # Once a clip; or, after a first try, once for every clip of every episode.
    each = toy.test.support.size + toy.test.query.size
    assert calls == [len(toy.test.rows), 7 + each, 7 + each]


def test_an_evaluation_batch_is_one_forward_pass(toy):
    toy, model = toy
    toy.bank.memory_gib = 0.0  # nothing is held: every episode anew
    sizes = []
    handle = model.register_forward_pre_hook(
        lambda module, inputs: sizes.append(len(inputs[0].labels))
    )
    logits(model, toy.bank, toy.test, Machine(CPU, False, 7))
    handle.remove()
    assert sizes == [7, 7, 6]


@pytest.mark.parametrize("held", [True, False])
def test_a_forward_pass_takes_as_many_episodes_as_the_machine_holds(toy, monkeypatch, held):
    toy, model = toy
    monkeypatch.setattr(toy.bank, "memory_gib", 1.0 if held else 0.0)
    clip = toy.bank.prepared(toy.bank.clips(toy.test.rows[:1]), "query", [None])
    clip_bytes = (
        sum(part.nbytes for part in model.eval().encode(clip)) if held else toy.bank.pass_bytes
    )
    monkeypatch.setitem(devices.PASS_BYTES, "cpu", 6 * (3 + 3) * clip_bytes + 1)
    sizes = []
    relate, forward = model.relate, model.forward
    monkeypatch.setattr(
        model, "relate", lambda *sides: sizes.append(len(sides[0][0])) or relate(*sides)
    )
    monkeypatch.setattr(
        model, "forward", lambda episodes: sizes.append(len(episodes.labels)) or forward(episodes)
    )
    found = logits(model, toy.bank, toy.test, Machine(CPU, False, None))
    assert sizes == [6, 6, 6, 2]
    monkeypatch.undo()
    np.testing.assert_allclose(
        found, logits(model, toy.bank, toy.test, Machine(CPU, False, 10)), rtol=1e-5, atol=1e-5
    )


def test_an_episode_larger_than_the_machine_holds_is_tested_alone():
    assert Machine(CPU, False, None).at_once(100 * devices.PASS_BYTES["cpu"]) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("head", "params", "matching", "tokens"), WHOLE)
@pytest.mark.parametrize("mixed", [False, True])
def test_on_a_gpu_logits_are_those_of_the_cpu(head, params, matching, tokens, mixed, monkeypatch):
    """By whichever way: every clip once, from a bank on the GPU, or every episode anew, from one that is not.

    In float32 (without TF32, see conftest.py) only the order of sums differs; half precision rounds to 11 bits.
    """
    gpu, (toy, model) = torch.device("cuda"), whole(head, params, matching, tokens)
    expected = logits(model, toy.bank, toy.test, Machine(CPU, False, None))
    model.to(gpu)
    largest = np.abs(expected).max()
    close = dict(rtol=5e-3, atol=5e-3 * largest) if mixed else dict(rtol=1e-4, atol=1e-4 * largest)
    held = FeatureBank(ArrayReader(toy.values), toy.test.rows, 1.0, device=gpu)
    np.testing.assert_allclose(
        logits(model, held, toy.test, Machine(gpu, mixed, None)), expected, **close
    )
    monkeypatch.setattr(protocol, "room", lambda device, memory_gib: 0.0)
    np.testing.assert_allclose(
        logits(model, toy.bank, toy.test, Machine(gpu, mixed, None)), expected, **close
    )


def test_accuracy_is_the_mean_of_the_query_results(toy):
    toy, model = toy
    machine = Machine(CPU, False, 10)
    queries = query_results(toy.test, logits(model, toy.bank, toy.test, machine))
    assert accuracy(model, toy.bank, toy.test, machine) == pytest.approx(queries["correct"].mean())
    assert queries["clip"].tolist() == toy.test.query.reshape(-1).tolist()
    assert (queries["correct"] == (queries["class"] == queries["predicted"])).all()
    assert ((queries["margin"] > 0) == (queries["correct"] == 1)).all()


def test_evaluation_neither_trains_nor_drops_out(toy):
    toy, _ = toy
    spec = run_spec()
    torch.manual_seed(0)
    model = model_of(spec, tail=nn.Sequential(nn.BatchNorm2d(8), nn.Dropout(0.9)))
    model.train_tail = True
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first, second = (logits(model, toy.bank, toy.test, Machine(CPU, False, 5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not model.training and not model.tail.training


def test_no_accuracy_is_told_from_logits_that_are_not_numbers(toy):
    """argmax of NaN is class 0: it would pass for chance."""

    class Broken(Metric):
        def compare(self, support, query):
            (support,), (query,) = support, query
            return torch.full((len(query), query.shape[1], support.shape[1]), float("nan"))

    model = model_of(run_spec())
    model.matching = Broken()
    with pytest.raises(FsarError, match="logits of an episode are not finite"):
        accuracy(model, toy[0].bank, toy[0].validation, Machine(CPU, False, 4))
