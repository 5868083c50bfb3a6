"""The state of one training: resuming, saving, stopping on SIGTERM, progress."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from tqdm import tqdm

from fsar_core.errors import FsarError
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.runtime.devices import Machine
from fsar_core.specs import ModelSpec
from fsar_core.storage import checkpoint
from fsar_core.storage.bindings import changed
from fsar_core.training import optim

SAVE_SECONDS = 600.0  # between checkpoints for resuming, where validations are farther apart
HistoryRow = dict[str, float | None]


class Session:
    """A training that can be interrupted after any step and goes on as if it had not been.

    Used as a context; inside, SIGTERM, as batch systems send before they kill, ends the training
    after the current step.

    Attributes:
        optimizer: of everything that is trained.
        best: what the model had learned at the best validation (`EpisodeModel.learned`).
        history: one row for each validation.
        first_step: where training starts, 0 unless it is resumed.
        total_steps: optimizer steps of the whole training.
    """

    def __init__(
        self,
        spec: ModelSpec,
        model: EpisodeModel,
        machine: Machine,
        last: Path,
        code: str = "",
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            model: on the device of the machine; it takes the weights of a resumed training.
            last: the checkpoint for resuming.
            code: digest of the code that trains.
            inputs: digests of what the model is trained on and with.
        """
        self.spec, self.model, self.last = spec, model, Path(last)
        self.run = f"{spec.digest}:{code}" if code else spec.digest
        self.inputs = dict(inputs or {})
        self.total_steps = optim.steps(spec.training)
        self.optimizer = optim.optimizer(spec.training, model.trainable)
        self.mixed_precision = machine.half_precision
        self.device = machine.device
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=self.mixed_precision)

        self.first_step = 0
        self.history: list[HistoryRow] = []
        self.best: dict[str, torch.Tensor] | None = None
        self._best_score = -1.0
        self._losses: list[torch.Tensor] = []  # of the steps since the last validation
        self._seconds_before = 0.0
        self._resume()

        validations = spec.training.validations
        due = {round((i + 1) * self.total_steps / validations) for i in range(validations)}
        self._validated_steps = due - {0}
        self._started = time.time() - self._seconds_before

    def __enter__(self) -> Session:
        self._signals: list[int] = []
        self._handler = signal.signal(signal.SIGTERM, self._note_signal)
        self._saved = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGTERM, self._handler)

    def steps(self) -> Iterator[int]:
        """Yield the numbers of the steps that are left, and save the state when it is due.

        Raises:
            SystemExit: SIGTERM came; the step was finished and is saved.
        """
        numbers = range(self.first_step, self.total_steps)
        with tqdm(
            total=self.total_steps,
            initial=self.first_step,
            desc="training",
            unit="step",
            mininterval=1,
        ) as self._bar:
            for step in numbers:
                yield step
                self._bar.update()
                self._after(step + 1)

    def is_validated(self, step: int) -> bool:
        """Say whether the model is validated after this step (0-based)."""
        return step + 1 in self._validated_steps

    def backward(self, loss: torch.Tensor) -> torch.Tensor:
        """Add the gradients of a loss to those of the step, and return its value."""
        self.scaler.scale(loss).backward()
        return loss.detach()

    def update(self, step: int, loss: torch.Tensor) -> None:
        """Change the weights by the gradients of a step.

        Args:
            loss: of the step, on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = optim.rate(self.spec.training, step)
        self._losses.append(loss)
        self.scaler.unscale_(self.optimizer)
        if self.spec.training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.trainable, self.spec.training.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def check_loss(self, step: int) -> None:
        """Raise FsarError if the loss since the last validation is not a number."""
        if not torch.isfinite(mean := self._mean_loss()):
            raise FsarError(
                f"{self.spec.model_id}: the loss is {float(mean)} before step {step + 1}; "
                f"lower `lr` or set `clip_norm` in config.yaml"
            )

    def record(self, step: int, score: float) -> None:
        """Note a validation, and keep what the model has learned if it is the best so far.

        Args:
            score: accuracy on the validation episodes, in 0..1.
        """
        training = self.spec.training
        mean_loss = float(self._mean_loss())
        episodes = (step + 1) * training.batch * training.accumulate
        rate = optim.rate(training, step)
        self.history.append(history_row(step + 1, episodes, mean_loss, score, rate, self._seconds))
        if score > self._best_score:
            self._best_score = score
            self.best = copy.deepcopy(self.model.learned())
        self._losses.clear()
        self._bar.set_postfix(loss=f"{mean_loss:.3f}", val=f"{100 * score:.1f}%")

    def _mean_loss(self) -> torch.Tensor:
        return torch.stack(self._losses).mean()

    @property
    def _seconds(self) -> float:
        """Time of training, without interruptions."""
        return time.time() - self._started

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _after(self, done: int) -> None:
        """Save if it is due, and stop if that was asked for.

        Args:
            done: finished steps.
        """
        stop = bool(self._signals) and done < self.total_steps
        due = stop or done in self._validated_steps
        if due or time.monotonic() - self._saved > SAVE_SECONDS:
            self._save(done)
            self._saved = time.monotonic()
        if stop:
            tqdm.write(
                f"stopped after step {done}, saved in {self.last}; "
                f"the same command goes on from there"
            )
            raise SystemExit(128 + signal.SIGTERM)

    def _save(self, done: int) -> None:
        value: dict[str, Any] = {
            "run": self.run,
            "inputs": self.inputs,
            "step": done,
            "seconds": self._seconds,
            "history": self.history,
            "best_score": self._best_score,
            "best": self.best,
            "losses": self._losses,
            "model": self.model.learned(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        checkpoint.save(self.last, value)

    def _resume(self) -> None:
        """Take the state of an interrupted training of the same run, code and inputs."""
        if not self.last.exists():
            return
        saved = checkpoint.load(self.last)
        if saved["run"] != self.run:
            tqdm.write(
                f"{self.last} was begun by other code or for another run and is not resumed: "
                f"training starts anew"
            )
            return
        differs = changed(saved.get("inputs", {}), self.inputs)
        if differs:
            tqdm.write(
                f"{self.last} was begun with other inputs ({', '.join(differs)}) and is not "
                f"resumed: training starts anew"
            )
            return
        self.model.load_learned(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.first_step = saved["step"]
        self.history = saved["history"]
        self.best = saved["best"]
        self._best_score = saved["best_score"]
        self._losses = saved["losses"]
        self._seconds_before = saved["seconds"]


def history_row(
    step: int, episodes: int, loss: float | None, score: float, rate: float, seconds: float
) -> HistoryRow:
    """Return a row of history.csv.

    Args:
        step: finished optimizer steps.
        episodes: that were trained on.
        loss: mean of the steps since the last validation; None before the first.
        score: accuracy on the validation episodes, in 0..1.
        rate: learning rate of the last step.
        seconds: of training.
    """
    return dict(
        step=step,
        episodes=episodes,
        loss=loss,
        val_accuracy=100 * score,
        lr=rate,
        seconds=round(seconds, 2),
    )
