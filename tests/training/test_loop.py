import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from fsar_core.components.head import Head
from fsar_core.episodes.sampler import sample
from fsar_core.errors import FsarError
from fsar_core.evaluation.protocol import accuracy
from fsar_core.inputs.actionness import ActionnessSource
from fsar_core.layers.frame_classifier import FrameClassifier
from fsar_core.runtime.devices import Machine
from fsar_core.runtime.seeding import derive, rng
from fsar_core.saliency.classifier import score
from fsar_core.specs import Component
from fsar_core.storage import checkpoint
from fsar_core.training import loop, session
from fsar_core.training.loop import train
from fsar_core.types import HeadOutput
from tests.builders import toy_features, toy_index
from tests.training.toys import (
    MACHINE,
    SHAPE,
    TRX,
    ArrayReader,
    Toy,
    equal_states,
    model_of,
    run_spec,
    without_seconds,
)

DROPOUT = Component(name="trx", params=TRX | {"dropout": 0.3})


INPUTS = {"features": "f1", "index": "i1", "validation": "v1"}


def trained(spec, last, model=None, toy=None, machine=MACHINE, code="", **beside):
    """(state of the best validation, history, model as the last step left it)"""
    toy = Toy(spec) if toy is None else toy
    model = model_of(spec) if model is None else model
    state, history = train(
        spec, model, toy.bank, toy.split, toy.validation, last, machine, code, **beside
    )
    return state, history, model


def interrupt():
    raise KeyboardInterrupt


def ask_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)


def raise_at(model, forward: int, what=interrupt):
    """The model, which is interrupted in the training forward pass of this number (from 1)."""
    passes = []

    def count(module, inputs):
        passes.extend([1] if module.training else [])
        if len(passes) == forward and module.training:
            what()

    model.register_forward_pre_hook(count)
    return model


def test_history_has_one_row_a_validation(tmp_path):
    spec = run_spec(warmup=2, lr=0.5, optimizer="sgd", episodes=25, accumulate=2)
    _, history, _ = trained(spec, tmp_path / "last.pt")
    assert [(row["step"], row["episodes"]) for row in history] == [(2, 8), (4, 16), (6, 24)]
    assert [row["lr"] for row in history] == pytest.approx([0.5 * 0.55, 0.5, 0.5])
    assert all(
        0 <= row["val_accuracy"] <= 100 and row["loss"] > 0 and row["seconds"] >= 0
        for row in history
    )
    assert list(history[0]) == ["step", "episodes", "loss", "val_accuracy", "lr", "seconds"]


@pytest.mark.parametrize(
    ("validations", "steps"), [(1, [5]), (2, [2, 5]), (5, [1, 2, 3, 4, 5]), (40, [1, 2, 3, 4, 5])]
)
def test_the_last_step_is_always_validated(tmp_path, validations, steps):
    spec = run_spec(episodes=10, validations=validations)
    _, history, _ = trained(spec, tmp_path / "last.pt")
    assert [row["step"] for row in history] == steps


def test_equal_seeds_train_equal_models(tmp_path):
    spec = run_spec(DROPOUT, views=2)
    first, first_history, _ = trained(spec, tmp_path / "1.pt")
    model = model_of(spec)
    torch.manual_seed(99)
    np.random.seed(99)
    second, second_history, _ = trained(spec, tmp_path / "2.pt", model)
    assert equal_states(first, second)
    assert without_seconds(first_history) == without_seconds(second_history)
    other, _, _ = trained(run_spec(DROPOUT, views=2, seed=1), tmp_path / "3.pt", toy=Toy(spec))
    assert not equal_states(first, other)


@pytest.mark.parametrize("interruptions", [[3], [11], [19], [11, 7], [17, 1, 1]], ids=str)
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, interruptions):
    """Two batches a step, checkpoints after the steps 3, 6, 9 and 12."""
    spec = run_spec(
        DROPOUT,
        views=2,
        episodes=48,
        accumulate=2,
        schedule="cosine",
        warmup=3,
        clip_norm=1.0,
        validations=4,
    )
    whole, whole_history, whole_model = trained(spec, tmp_path / "whole.pt")
    last = tmp_path / "last.pt"
    for attempt, forward in enumerate(interruptions):
        with pytest.raises(KeyboardInterrupt):
            trained(spec, last, raise_at(model_of(spec, seed=7 * attempt), forward))
    # Before the first checkpoint a training begins anew, so there the initial weights have to be the same.
    model = model_of(spec, seed=50) if last.exists() else model_of(spec)
    assert last.exists() == (interruptions != [3])
    state, history, model = trained(spec, last, model)
    assert equal_states(state, whole)
    assert equal_states(model.state_dict(), whole_model.state_dict())
    assert without_seconds(history) == without_seconds(whole_history) and len(history) == 4


@pytest.mark.parametrize("passes", [[1], [4, 3], [11], [21], [2, 2, 2]], ids=str)
def test_a_training_that_is_asked_to_stop_saves_and_goes_on_exactly(tmp_path, passes, capsys):
    """Two batches a step, 12 steps, validations after the steps 3, 6, 9 and 12: it stops in between, at the end of a step."""
    spec = run_spec(
        DROPOUT, views=2, episodes=48, accumulate=2, schedule="cosine", warmup=3, validations=4
    )
    whole, whole_history, whole_model = trained(spec, tmp_path / "whole.pt")
    last, step, before = tmp_path / "last.pt", 0, signal.getsignal(signal.SIGTERM)
    for attempt, forward in enumerate(passes):
        with pytest.raises(SystemExit) as stop:
            trained(spec, last, raise_at(model_of(spec, seed=attempt), forward, ask_to_stop))
        step += (forward + 1) // 2
        assert (
            stop.value.code == 143
            and f"stopped after step {step}, saved in" in capsys.readouterr().out
        )
        assert checkpoint.load(last)["step"] == step and signal.getsignal(signal.SIGTERM) == before
    state, history, model = trained(spec, last, model_of(spec, seed=50))
    assert equal_states(state, whole) and equal_states(model.state_dict(), whole_model.state_dict())
    assert without_seconds(history) == without_seconds(whole_history) and len(history) == 4


def test_in_the_last_step_the_wish_to_stop_is_fulfilled_by_being_done(tmp_path):
    spec = run_spec(validations=2)
    whole, _, _ = trained(spec, tmp_path / "whole.pt")
    state, _, _ = trained(spec, tmp_path / "last.pt", raise_at(model_of(spec), 12, ask_to_stop))
    assert equal_states(state, whole)


def test_long_ways_between_validations_are_saved_too(tmp_path, monkeypatch):
    """12 steps, one validation; a clock that runs 100 s a step, and a kill in the eighth."""
    ticks = iter(range(0, 10**6, 100))
    monkeypatch.setattr(session.time, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(session, "SAVE_SECONDS", 450.0)
    spec, last = run_spec(validations=1), tmp_path / "last.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(spec, last, raise_at(model_of(spec), 8))
    assert checkpoint.load(last)["step"] == 5 and len(checkpoint.load(last)["losses"]) == 5
    monkeypatch.undo()
    whole, whole_history, _ = trained(spec, tmp_path / "whole.pt")
    state, history, _ = trained(spec, last, model_of(spec, seed=3))
    assert equal_states(state, whole) and without_seconds(history) == without_seconds(whole_history)


def test_seconds_are_those_of_training_without_the_interruption(tmp_path, monkeypatch):
    clock = [100.0]

    def one_second(*_):
        clock[0] += 1
        return 0.5

    monkeypatch.setattr(loop, "accuracy", one_second)
    monkeypatch.setattr(session.time, "time", lambda: clock[0])
    spec = run_spec(validations=4)
    with pytest.raises(KeyboardInterrupt):
        trained(spec, tmp_path / "last.pt", raise_at(model_of(spec), 8))
    clock[0] += 1000
    _, history, _ = trained(spec, tmp_path / "last.pt")
    assert [row["seconds"] for row in history] == [1, 2, 3, 4]


def test_a_finished_training_is_not_repeated(tmp_path):
    spec = run_spec()
    state, history, _ = trained(spec, tmp_path / "last.pt")
    again, history_again, _ = trained(
        spec, tmp_path / "last.pt", raise_at(model_of(spec, seed=5), 1)
    )
    assert equal_states(state, again) and history_again == history


@pytest.mark.parametrize(
    ("spec", "code"),
    [(run_spec(lr=0.02), "v1"), (run_spec(), "v2"), (run_spec(), "")],
    ids=["run", "code", "no code"],
)
def test_another_runs_checkpoint_is_not_continued(tmp_path, spec, code, capsys):
    trained(run_spec(), tmp_path / "last.pt", code="v1")
    fresh, fresh_history, _ = trained(spec, tmp_path / "fresh.pt", code=code)
    assert "starts anew" not in capsys.readouterr().out
    state, history, _ = trained(spec, tmp_path / "last.pt", code=code)
    assert "last.pt was begun by other code or for another run" in capsys.readouterr().out
    assert equal_states(state, fresh) and without_seconds(history) == without_seconds(fresh_history)
    # From then on the file is this training's.
    again, _, _ = trained(
        spec, tmp_path / "last.pt", raise_at(model_of(spec, seed=9), 1), code=code
    )
    assert equal_states(again, fresh)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"features": "f2"}, "features"),
        ({"validation": "v2", "features": "f2"}, "features, validation"),
    ],
    ids=str,
)
def test_a_training_on_other_inputs_is_not_continued(tmp_path, changes, named, capsys):
    """Not even after its first half: the checkpoint is that of a fresh training."""
    spec, last = run_spec(DROPOUT), tmp_path / "last.pt"
    toy, other = Toy(spec), Toy(spec, toy_features(toy_index(), views=1, seed=5, **SHAPE))
    with pytest.raises(KeyboardInterrupt):
        trained(spec, last, raise_at(model_of(spec), 8), toy, inputs=INPUTS)
    assert checkpoint.load(last)["step"] == 4 and checkpoint.load(last)["inputs"] == INPUTS
    fresh, history, _ = trained(spec, tmp_path / "fresh.pt", toy=other, inputs=INPUTS | changes)
    assert "starts anew" not in capsys.readouterr().out
    state, again, _ = trained(spec, last, toy=other, inputs=INPUTS | changes)
    line = f"last.pt was begun with other inputs ({named}) and is not resumed: training starts anew"
    assert line in capsys.readouterr().out
    assert equal_states(state, fresh) and without_seconds(again) == without_seconds(history)


@pytest.mark.parametrize("known", [{}, {"features": "f1"}, INPUTS], ids=str)
def test_equal_inputs_are_continued_and_so_are_those_that_were_not_recorded(
    tmp_path, known, capsys
):
    spec, last = run_spec(DROPOUT), tmp_path / "last.pt"
    whole, _, _ = trained(spec, tmp_path / "whole.pt", inputs=INPUTS)
    with pytest.raises(KeyboardInterrupt):
        trained(spec, last, raise_at(model_of(spec), 8), inputs=INPUTS)
    saved = {key: value for key, value in checkpoint.load(last).items() if key != "inputs"}
    checkpoint.save(last, saved | ({"inputs": known} if known else {}))
    passes = raise_at(model_of(spec, seed=9), 9)  # 8 of the 12 steps are left
    state, _, _ = trained(spec, last, passes, inputs=INPUTS)
    assert equal_states(state, whole) and "starts anew" not in capsys.readouterr().out


def test_a_damaged_checkpoint_is_told(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"PK")
    with pytest.raises(FsarError, match=r"last\.pt: damaged or foreign checkpoint"):
        trained(run_spec(), tmp_path / "last.pt")


def test_the_best_validation_is_kept_and_the_first_of_equals(tmp_path, monkeypatch):
    spec = run_spec(validations=4)
    scores, seen = iter([0.3, 0.8, 0.8, 0.5]), []

    def scripted(model, bank, table, machine):
        seen.append({key: value.clone() for key, value in model.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(loop, "accuracy", scripted)
    state, history, model = trained(spec, tmp_path / "last.pt")
    assert [row["val_accuracy"] for row in history] == [30, 80, 80, 50]
    assert equal_states(state, seen[1]) and not equal_states(seen[1], seen[2])
    assert equal_states(model.state_dict(), seen[3])
    assert checkpoint.load(tmp_path / "last.pt", spec.digest)["best_score"] == 0.8


def test_validation_is_on_the_frozen_validation_episodes(tmp_path, monkeypatch):
    spec, tables = run_spec(), []
    toy = Toy(spec)
    monkeypatch.setattr(
        loop, "accuracy", lambda model, bank, table, machine: tables.append(table) or 0.5
    )
    trained(spec, tmp_path / "last.pt", toy=toy)
    assert len(tables) == 3 and all(table is toy.validation for table in tables)


@pytest.mark.parametrize("views", [1, 3])
def test_the_episodes_of_a_training(tmp_path, views):
    """Number by number from the training split, at the training shot, with views drawn by number."""
    spec = run_spec(train_shot=2, views=views, seed=3, query=1, episodes=8)
    spec = spec.model_copy(
        update={"validation": spec.validation.model_copy(update={"group_disjoint": True})}
    )
    toy, seen = Toy(spec), []
    original = toy.bank.batch

    def spy(episodes):
        seen.extend(episodes)
        return original(episodes)

    toy.bank.batch = spy
    trained(spec, tmp_path / "last.pt", toy=toy)
    seen = [episode for episode in seen if episode.support.shape == (3, 2)]
    assert len(seen) == 8
    for number, episode in enumerate(seen):
        expected = sample(3, toy.split, 3, 2, 1, number, group_disjoint=True)
        np.testing.assert_array_equal(episode.support, expected.support)
        np.testing.assert_array_equal(episode.query, expected.query)
        expected = expected.for_training((range(views), range(views)), derive(3, "views", number))
        np.testing.assert_array_equal(episode.views[0], expected.views[0])
        np.testing.assert_array_equal(episode.views[1], expected.views[1])
        assert episode.augmentation == derive(3, "views", number)


def test_nothing_is_trained_where_nothing_is_trainable(tmp_path):
    spec = run_spec("otam")
    toy, model = Toy(spec), model_of(spec)
    state, history, _ = trained(spec, tmp_path / "last.pt", raise_at(model, 1), toy)
    assert equal_states(state, model.state_dict())
    score = 100 * accuracy(model, toy.bank, toy.validation, MACHINE)
    assert history == [dict(step=0, episodes=0, loss=None, val_accuracy=score, lr=0.0, seconds=0.0)]
    assert not (tmp_path / "last.pt").exists()


def test_a_task_that_must_be_learnt(tmp_path):
    """Two channels tell the classes apart; six louder ones are noise, which the untrained metric listens to."""
    index = toy_index({"train": 24, "val": 6, "test": 6}, clips=12)
    values = np.zeros((len(index), 1, *SHAPE.values()), np.float32)
    for position, (name, path) in enumerate(zip(index["class"], index.path)):
        values[position, 0, :, :2] = rng(0, name).standard_normal((4, 2, 1, 1))
        values[position, 0, :, :2] += 0.1 * rng(0, path).standard_normal((4, 2, 1, 1))
        values[position, 0, :, 2:] = 3 * rng(1, path).standard_normal((4, 6, 1, 1))
    spec = run_spec(episodes=1600, batch=8, lr=0.02, schedule="cosine", validations=4)
    toy = Toy(spec, values, index)
    model = model_of(spec)
    before = accuracy(model, toy.bank, toy.test, MACHINE)
    state, history, _ = trained(spec, tmp_path / "last.pt", model, toy)
    model.load_state_dict(state)
    assert before < 0.7
    assert accuracy(model, toy.bank, toy.test, MACHINE) > 0.9
    assert max(row["val_accuracy"] for row in history) > 90
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


@pytest.mark.parametrize(("batch", "accumulate"), [(4, 2), (2, 4), (1, 8)])
def test_accumulated_gradients_equal_one_large_batch(tmp_path, batch, accumulate):
    shared = dict(optimizer="sgd", lr=0.2, episodes=40)
    whole, whole_history, _ = trained(run_spec(batch=8, **shared), tmp_path / "whole.pt")
    parts = run_spec(batch=batch, accumulate=accumulate, **shared)
    state, history, _ = trained(parts, tmp_path / "parts.pt")
    assert not equal_states(state, model_of(parts).state_dict())
    for key, value in whole.items():
        torch.testing.assert_close(state[key], value, rtol=1e-4, atol=1e-6)
    assert [row["loss"] for row in history] == pytest.approx(
        [row["loss"] for row in whole_history], rel=1e-4
    )
    assert [row["episodes"] for row in history] == [row["episodes"] for row in whole_history]


def step_of(tmp_path, **changes) -> float:
    """Length of the change that one step of plain gradient descent with rate 1 makes: the gradient's norm."""
    spec = run_spec(optimizer="sgd", lr=1.0, episodes=2, validations=1, **changes)
    before = model_of(spec).state_dict()
    after, _, _ = trained(spec, tmp_path / f"{len(changes)}.pt")
    return float(
        torch.stack(
            [(after[key].double() - before[key].double()).square().sum() for key in before]
        ).sum()
        ** 0.5
    )


def test_clip_norm_bounds_the_gradient(tmp_path):
    free = step_of(tmp_path)
    assert free > 0.05
    assert step_of(tmp_path, clip_norm=0.02) == pytest.approx(0.02, rel=1e-3)
    assert step_of(tmp_path, clip_norm=10 * free, weight_decay=0.0) == pytest.approx(free, rel=1e-6)


class WithLosses(Head):
    """An identity head with two constant losses."""

    def encode(self, clips):
        return clips

    def forward(self, support, query, **aux):
        return HeadOutput(support, query, {"a": torch.tensor(2.0), "b": torch.tensor(3.0)})


def test_auxiliary_losses_are_added(tmp_path):
    spec = run_spec(accumulate=2)
    plain, plain_history, _ = trained(spec, tmp_path / "plain.pt")
    model = model_of(spec)
    model.head = WithLosses()
    state, history, _ = trained(spec, tmp_path / "losses.pt", model)
    assert equal_states(plain, state)
    assert [row["loss"] - 5 for row in history] == pytest.approx(
        [row["loss"] for row in plain_history], abs=1e-5
    )


def sgtm_spec(**params):
    params = {"width": 4, "heads": 2, "masked": 2, "dropout": 0.0, **params}
    return run_spec("otam", episodes=6, validations=1).model_copy(
        update={"head": Component(name="sgtm", params=params)}
    )


def test_frames_are_hidden_by_the_actionness_that_the_loop_is_given(tmp_path):
    """Scores in the same order train the same model, in another order another one, and no scores are one line."""
    spec = sgtm_spec()
    toy = Toy(spec)
    scores = (
        np.random.default_rng(0).random((len(toy.values), 1, SHAPE["frames"])).astype(np.float32)
    )
    rows = np.concatenate(toy.split.rows)

    def state(values, name):
        source = ActionnessSource(ArrayReader(values)).load(rows, 1.0)
        return trained(spec, tmp_path / name, toy=toy, sources=[source])[0]

    first = state(scores, "a.pt")
    assert equal_states(first, state(10 * scores - 3, "b.pt")) and not equal_states(
        first, state(scores[..., ::-1] ** 2, "c.pt")
    )
    with pytest.raises(FsarError, match="needs support_saliency"):
        trained(spec, tmp_path / "d.pt", toy=toy)


def test_live_scores_train_the_model_that_a_store_of_them_trains(tmp_path):
    sizes = {"classes": 6, "classifier_hidden": 5}
    live, stored = sgtm_spec(saliency="live", **sizes), sgtm_spec(**sizes)
    toy = Toy(live)
    torch.manual_seed(3)
    classifier = FrameClassifier(SHAPE["dim"], 6, hidden=5).eval()
    scores = score(
        classifier, torch.from_numpy(toy.values[:, 0].astype(np.float32).mean((-2, -1)))
    ).numpy()
    model = model_of(live)
    model.head.load_classifier(classifier.state_dict())
    state, _, _ = trained(live, tmp_path / "live.pt", model, toy)
    source = ActionnessSource(ArrayReader(scores[:, None]))
    source.load(np.concatenate(toy.split.rows), 1.0)
    other, _, _ = trained(stored, tmp_path / "stored.pt", model_of(stored), toy, sources=[source])

    def used(state):
        return {key: value for key, value in state.items() if "classifier" not in key}

    assert equal_states(used(state), used(other))
    # What was learned comes with the classifier, which was not.
    assert all(
        torch.equal(state[f"head.classifier.{key}"], value)
        for key, value in classifier.state_dict().items()
    )
    again = model_of(live)
    again.load_learned(state)
    assert torch.equal(again.head.classifier.inner.weight, classifier.inner.weight)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    spec = run_spec()
    model = model_of(spec)
    with torch.no_grad():
        model.matching.transformers[0].v_linear.bias.fill_(float("nan"))
    with pytest.raises(
        FsarError,
        match=rf"{spec.model_id}: the loss is nan before step 4; lower `lr` or set `clip_norm`",
    ):
        trained(spec, tmp_path / "last.pt", model)
    assert not (tmp_path / "last.pt").exists()


@pytest.mark.parametrize("train_tail", [False, True])
def test_only_a_trainable_tail_changes(tmp_path, train_tail):
    spec = run_spec(train_tail=train_tail)
    torch.manual_seed(3)
    tail = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
    before = {key: value.clone() for key, value in tail.state_dict().items()}
    state, _, _ = trained(spec, tmp_path / "last.pt", model_of(spec, tail=tail))
    after = tail.state_dict()
    changed = {key: not torch.equal(before[key], after[key]) for key in before}
    assert set(changed.values()) == {train_tail}, changed
    assert [p.grad is None for p in tail.parameters()] == [
        True
    ] * 4  # set to none after the last step
    held = {key.removeprefix("tail.") for key in state if key.startswith("tail.")}
    assert held == (before.keys() if train_tail else set())


def test_a_frozen_tail_gets_no_gradient():
    spec = run_spec()
    tail = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
    model, toy = model_of(spec, tail=tail), Toy(spec)
    model.train()
    episodes = toy.bank.batch([toy.validation[0]])
    model(episodes)[0].sum().backward()
    assert [p.grad for p in tail.parameters()] == [None] * 4
    assert all(p.grad is not None for p in model.matching.parameters())


def test_mixed_precision_is_for_gpus_only(tmp_path):
    spec = run_spec()
    plain, _, _ = trained(spec, tmp_path / "1.pt")
    mixed, _, _ = trained(spec, tmp_path / "2.pt", machine=Machine(torch.device("cpu"), True, 10))
    assert equal_states(plain, mixed)


class FakeScaler:
    """A GradScaler by hand: the loss is multiplied, and the scale falls with every update, so that a step which is
    not divided by it, or by a scale that is not kept, goes astray."""

    calls: list[str]

    def __init__(self, device, enabled):
        self.device, self.enabled, self.scale_by, self.calls = device, enabled, 1024.0, []
        FakeScaler.last = self

    def scale(self, loss):
        self.calls.append("scale")
        return loss * self.scale_by

    def unscale_(self, optimizer):
        self.calls.append("unscale")
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad /= self.scale_by

    def step(self, optimizer):
        self.calls.append("step")
        optimizer.step()

    def update(self):
        self.calls.append("update")
        self.scale_by /= 2

    def state_dict(self):
        return {"scale": self.scale_by}

    def load_state_dict(self, state):
        self.scale_by = state["scale"]


@pytest.mark.parametrize("clip_norm", [None, 0.02])
def test_gradients_are_unscaled_before_they_are_clipped(tmp_path, monkeypatch, clip_norm):
    """Powers of two change no bit of a gradient: the same model comes out with and without scaling."""
    spec = run_spec(accumulate=2, clip_norm=clip_norm)
    plain, _, _ = trained(spec, tmp_path / "plain.pt")
    monkeypatch.setattr(torch.amp, "GradScaler", FakeScaler)
    scaled, _, _ = trained(spec, tmp_path / "scaled.pt")
    assert equal_states(plain, scaled)
    assert FakeScaler.last.calls == ["scale", "scale", "unscale", "step", "update"] * 6
    assert (FakeScaler.last.device, FakeScaler.last.enabled) == ("cpu", False)


def test_the_scale_of_gradients_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.amp, "GradScaler", FakeScaler)
    spec, last = run_spec(), tmp_path / "last.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(spec, last, raise_at(model_of(spec), 8))
    assert checkpoint.load(last)["scaler"] == {"scale": 1024.0 / 2**4}
    trained(spec, last)
    assert FakeScaler.last.scale_by == 1024.0 / 2**12


@pytest.mark.parametrize(
    ("device", "asked", "mixed"),
    [("cuda", True, True), ("cuda", False, False), ("cpu", True, False)],
)
def test_precision_is_mixed_where_it_is_asked_for_on_a_gpu(device, asked, mixed):
    assert Machine(torch.device(device), asked, None).half_precision is mixed


on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.parametrize("mixed", [False, True])
def test_on_a_gpu_it_trains_as_on_a_cpu(tmp_path, mixed):
    """In float32 (without TF32, see conftest.py) only the order of sums differs, which the steps of training amplify."""
    spec = run_spec(episodes=48, validations=4, views=2)
    _, plain, _ = trained(spec, tmp_path / "cpu.pt")
    state, history, _ = trained(
        spec, tmp_path / "gpu.pt", machine=Machine(torch.device("cuda"), mixed, None)
    )
    assert history[0]["loss"] == pytest.approx(plain[0]["loss"], rel=5e-2 if mixed else 1e-4)
    assert [row["loss"] for row in history] == pytest.approx(
        [row["loss"] for row in plain], rel=0.2 if mixed else 1e-3
    )
    assert all(value.is_cuda and value.dtype != torch.float16 for value in state.values())


@pytest.mark.gpu
@on_a_gpu
def test_on_a_gpu_a_resumed_training_goes_on_where_it_stopped(tmp_path):
    """Dropout, the scale of the gradients and Adam's moments included; sums on a GPU differ in their last bits."""
    spec, gpu = (
        run_spec(DROPOUT, views=2, episodes=48, validations=4),
        Machine(torch.device("cuda"), True, None),
    )
    _, _, whole_model = trained(spec, tmp_path / "whole.pt", machine=gpu)
    with pytest.raises(KeyboardInterrupt):
        trained(spec, tmp_path / "last.pt", raise_at(model_of(spec, seed=7), 15), machine=gpu)
    _, history, model = trained(spec, tmp_path / "last.pt", model_of(spec, seed=50), machine=gpu)
    assert len(history) == 4
    for key, value in whole_model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=0.02, atol=0.005)
