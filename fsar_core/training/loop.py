"""Episodic training of a head on cached features.

Source: the episodic paradigm of DMGAL III-A and IV-B: cross-entropy over the queries of N-way K-shot tasks of the training
classes, Adam. Differs: the model is selected on frozen episodes of the validation classes, never on the test classes, and
all randomness is a function of the step number, so that a resumed training equals an uninterrupted one.
"""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from fsar_core.episodes.loader import EpisodeFeatures, FeatureBank, batches
from fsar_core.episodes.sampler import Split, sample
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.errors import FsarError
from fsar_core.evaluation.protocol import accuracy
from fsar_core.inputs.bank import EpisodeBank
from fsar_core.inputs.base import Source
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.models.losses import episodic_cross_entropy
from fsar_core.runtime.devices import Machine
from fsar_core.runtime.seeding import derive
from fsar_core.specs import ModelSpec
from fsar_core.storage import checkpoint
from fsar_core.storage.bindings import changed
from fsar_core.training import optim

SAVE_SECONDS = 600.0  # between checkpoints for resuming, where validations are farther apart


def train(
    spec: ModelSpec,
    model: EpisodeModel,
    bank: FeatureBank,
    split: Split,
    validation: EpisodeTable,
    last: Path,
    machine: Machine,
    code: str = "",
    sources: Sequence[Source] = (),
    inputs: Mapping[str, str] | None = None,
) -> tuple[dict, list[dict]]:
    """Train and return what the model had learned at the best validation (`EpisodeModel.learned`) and the history, one row a
    validation.

    Args:
        bank: holds the rows of the training split and of the validation episodes.
        last: checkpoint for resuming; written at every validation, every SAVE_SECONDS and when the process is asked to stop;
            removed by the caller when the run is done.
        sources: what the head is given besides features (`fsar_core.inputs`), loaded for the clips of `bank`.
        code: digest of the code that trains; a training that other code began is begun anew.
        inputs: digests of what the model is trained on and with, as in `fsar_core.storage.bindings`; a training
            that was started on other inputs is not resumed.

    Raises:
        SystemExit: SIGTERM came, as batch systems send before they kill; the step was finished and is saved in `last`.
    """
    run, training, inputs = f"{spec.digest}{code and ':'}{code}", spec.training, dict(inputs or {})
    model.to(machine.device)
    if not model.trainable:
        score = accuracy(model, bank, validation, machine)
        return model.learned(), [_row(0, 0, None, score, 0.0, 0.0)]
    total = optim.steps(training)
    per_step = training.batch * training.accumulate
    optimizer = optim.optimizer(training, model.trainable)
    scaler = torch.amp.GradScaler(machine.device.type, enabled=_mixed(machine))
    state = _resume(last, run, inputs, model, optimizer, scaler)
    checks = {round((i + 1) * total / training.validations) for i in range(training.validations)} - {0}

    views = spec.features.training_views()

    def episode(number: int):
        way, disjoint = spec.validation.way, spec.validation.group_disjoint
        drawn = sample(spec.seed, split, way, spec.train_shot, training.query, number, group_disjoint=disjoint)
        return drawn.for_training(views, derive(spec.seed, "views", number))

    numbers = range(state["step"] * per_step, total * per_step)
    training_bank, drawn = EpisodeBank(bank, sources), (episode(number) for number in numbers)
    coming = machine.meter.waiting(batches(training_bank, drawn, training.batch, machine.device))
    losses: list[torch.Tensor] = state.pop("losses")
    started = time.time() - state["seconds"]
    bar = tqdm(total=total, initial=state["step"], desc="training", unit="step", mininterval=1)
    parts = dict(inputs=inputs, model=model, optimizer=optimizer, scaler=scaler)
    with _asked_to_stop() as asked:
        saved = time.monotonic()
        for step in range(state["step"], total):
            torch.manual_seed(derive(spec.seed, "dropout", step))
            model.train()
            for group in optimizer.param_groups:
                group["lr"] = optim.rate(training, step)
            loss = sum(
                _backward(model, next(coming), training.accumulate, scaler, machine) for _ in range(training.accumulate)
            )
            losses.append(loss)
            scaler.unscale_(optimizer)
            if training.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.trainable, training.clip_norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            bar.update()
            if step + 1 in checks:
                mean_loss = float(torch.stack(losses).mean())
                if not torch.isfinite(torch.tensor(mean_loss)):
                    raise FsarError(
                        f"{spec.model_id}: the loss is {mean_loss} before step {step + 1}; "
                        f"lower `lr` or set `clip_norm` in config.yaml"
                    )
                score = accuracy(model, bank, validation, machine)
                seconds = time.time() - started
                state["history"].append(
                    _row(step + 1, (step + 1) * per_step, mean_loss, score, optim.rate(training, step), seconds)
                )
                if score > state["best_score"]:
                    state["best_score"], state["best"] = score, copy.deepcopy(model.learned())
                losses.clear()
                bar.set_postfix(loss=f"{mean_loss:.3f}", val=f"{100 * score:.1f}%")
            stop = bool(asked) and step + 1 < total
            if step + 1 in checks or stop or time.monotonic() - saved > SAVE_SECONDS:
                _save(last, run, step + 1, time.time() - started, state, losses, **parts)
                saved = time.monotonic()
            if stop:
                tqdm.write(f"stopped after step {step + 1}, saved in {last}; the same command goes on from there")
                raise SystemExit(128 + signal.SIGTERM)
    bar.close()
    return state["best"], state["history"]


def _backward(
    model: EpisodeModel, episodes: EpisodeFeatures, accumulate: int, scaler: torch.amp.GradScaler, machine: Machine
) -> torch.Tensor:
    """Forward and backward of one batch on the device; returns its share of the step's loss."""
    with torch.autocast(machine.device.type, enabled=_mixed(machine)):
        logits, extra = model(episodes)
        loss = (episodic_cross_entropy(logits, episodes.labels) + sum(extra.values())) / accumulate
    scaler.scale(loss).backward()
    return loss.detach()


def _mixed(machine: Machine) -> bool:
    return machine.mixed_precision and machine.device.type == "cuda"


def _row(step: int, episodes: int, loss: float | None, score: float, lr: float, seconds: float) -> dict:
    return dict(step=step, episodes=episodes, loss=loss, val_accuracy=100 * score, lr=lr, seconds=round(seconds, 2))


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that holds something once SIGTERM has come."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def _save(last, run, step, seconds, state, losses, inputs, model, optimizer, scaler) -> None:
    state |= {"step": step, "seconds": seconds}
    parts = {"model": model.learned(), "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
    checkpoint.save(last, {"run": run, "inputs": inputs, **state, "losses": losses, **parts})


def _resume(last: Path, run: str, inputs: dict[str, str], model: EpisodeModel, optimizer, scaler) -> dict:
    """Where to start: at zero, or where an interrupted training of the same run was saved last."""
    begin = {"step": 0, "seconds": 0.0, "history": [], "best_score": -1.0, "best": None, "losses": []}
    if not Path(last).exists():
        return begin
    saved = checkpoint.load(last)
    if saved["run"] != run:
        tqdm.write(f"{last} was begun by other code or for another run and is not resumed: training starts anew")
        return begin
    differs = changed(saved.get("inputs", {}), inputs)
    if differs:
        tqdm.write(
            f"{last} was begun with other inputs ({', '.join(differs)}) and is not resumed: training starts anew"
        )
        return begin
    model.load_learned(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    scaler.load_state_dict(saved["scaler"])
    return {key: saved[key] for key in begin}
