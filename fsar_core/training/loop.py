"""Episodic training of a head on cached features.

Source: the episodic paradigm of DMGAL III-A and IV-B: cross-entropy over the queries of N-way
K-shot tasks of the training classes, Adam. Differs: the model is selected on frozen episodes of the
validation classes, never on the test classes, and all randomness is a function of the step number,
so that a resumed training equals an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from fsar_core.episodes.loader import EpisodeFeatures, FeatureBank, batches
from fsar_core.episodes.sampler import Episode, Split, sample
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.evaluation.protocol import accuracy
from fsar_core.inputs.bank import EpisodeBank
from fsar_core.inputs.base import Source
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.models.losses import episodic_cross_entropy
from fsar_core.runtime.devices import Machine
from fsar_core.runtime.seeding import derive
from fsar_core.specs import ModelSpec
from fsar_core.training.session import HistoryRow, Session, history_row


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
) -> tuple[dict[str, torch.Tensor], list[HistoryRow]]:
    """Train a model.

    Args:
        bank: holds the rows of the training split and of the validation episodes.
        last: checkpoint for resuming. It is written at every validation, every `SAVE_SECONDS` and
            when the process is asked to stop, and removed by the caller when the run is done.
        code: digest of the code that trains; checkpoints written by different code are ignored.
        sources: what the head is given besides features (`fsar_core.inputs`), loaded for the clips
            of `bank`.
        inputs: digests of what the model is trained on and with (`fsar_core.storage.bindings`);
            checkpoints of a training on different inputs are ignored.
    Returns:
        What the model had learned at the best validation (`EpisodeModel.learned`), and the history,
        one row for each validation.
    Raises:
        SystemExit: SIGTERM came; the step was finished and is saved in `last`.
    """
    model.to(machine.device)
    in_tests = [source for source in sources if source.at_test]
    validation_bank = EpisodeBank(bank, in_tests, "test") if in_tests else bank
    if not model.trainable:
        score = accuracy(model, validation_bank, validation, machine)
        return model.learned(), [history_row(0, 0, None, score, 0.0, 0.0)]

    session = Session(spec, model, machine, last, code, inputs)
    episodes = _episodes(spec, split, EpisodeBank(bank, sources), session, machine)
    with session:
        for step in session.steps():
            torch.manual_seed(derive(spec.seed, "dropout", step))
            model.train()
            loss = torch.zeros((), device=machine.device)
            for _ in range(spec.training.accumulate):
                loss = loss + session.backward(_loss(model, next(episodes), session))
            session.update(step, loss)
            if session.is_validated(step):
                session.check_loss(step)
                session.record(step, accuracy(model, validation_bank, validation, machine))
    return session.best, session.history


def _episodes(
    spec: ModelSpec, split: Split, bank: EpisodeBank, session: Session, machine: Machine
) -> Iterator[EpisodeFeatures]:
    """Return the batches of the remaining steps, on the device; episode i is a function of i."""
    views = spec.features.training_views()
    per_step = spec.training.batch * spec.training.accumulate

    def episode(number: int) -> Episode:
        drawn = sample(
            spec.seed,
            split,
            spec.validation.way,
            spec.train_shot,
            spec.training.query,
            number,
            group_disjoint=spec.validation.group_disjoint,
        )
        return drawn.for_training(views, derive(spec.seed, "views", number))

    numbers = range(session.first_step * per_step, session.total_steps * per_step)
    drawn = (episode(number) for number in numbers)
    return machine.meter.waiting(batches(bank, drawn, spec.training.batch, machine.device))


def _loss(model: EpisodeModel, episodes: EpisodeFeatures, session: Session) -> torch.Tensor:
    """Return the share of a batch in the loss of its step."""
    with torch.autocast(session.device.type, enabled=session.mixed_precision):
        logits, losses = model(episodes)
        loss = episodic_cross_entropy(logits, episodes.labels) + sum(losses.values())
        return loss / session.spec.training.accumulate
