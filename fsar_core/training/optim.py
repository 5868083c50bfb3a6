"""Optimizers and learning-rate schedules, as the papers' configurations name them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from fsar_core.specs import TrainingSpec

FALL = 0.1  # of the rate at a milestone that has no factor of its own

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def optimizer(spec: TrainingSpec, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer that a training names.

    `adam` has L2-style weight decay, as the field uses it; `sgd` has no momentum, as in TRX.
    """
    build = OPTIMIZERS[spec.optimizer]
    return build(parameters, lr=spec.lr, weight_decay=spec.weight_decay)


def steps(spec: TrainingSpec) -> int:
    """Return the optimizer steps of the whole training.

    Episodes that do not fill a step are not trained on.
    """
    return spec.episodes // (spec.batch * spec.accumulate)


def rate(spec: TrainingSpec, step: int) -> float:
    """Return the learning rate of a step (0-based): linear warm-up, then the schedule."""
    total = steps(spec)
    if step < spec.warmup:
        first = spec.lr / 10 if spec.warmup_lr is None else spec.warmup_lr
        return first + (spec.lr - first) * step / spec.warmup
    if spec.schedule == "cosine":
        progress = (step - spec.warmup) / max(1, total - spec.warmup)
        return spec.lr * 0.5 * (1 + math.cos(math.pi * progress))
    if spec.schedule == "step":
        passed = sum(step >= milestone * total for milestone in spec.milestones)
        if spec.factors is None:
            return spec.lr * FALL**passed
        return spec.lr * (1.0, *spec.factors)[passed]
    return spec.lr
