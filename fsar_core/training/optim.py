"""Optimizers and learning-rate schedules, as the papers' configurations name them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from fsar_core.errors import FsarError
from fsar_core.specs import TrainingSpec

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def optimizer(spec: TrainingSpec, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam with L2-style weight decay as the field uses it, AdamW, or SGD without momentum (TRX)."""
    if spec.optimizer not in OPTIMIZERS:
        raise FsarError(f"unknown optimizer '{spec.optimizer}'; valid: {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[spec.optimizer](parameters, lr=spec.lr, weight_decay=spec.weight_decay)


def steps(spec: TrainingSpec) -> int:
    """Optimizer steps of the whole training; episodes that do not fill a step are not trained on."""
    return spec.episodes // (spec.batch * spec.accumulate)


def rate(spec: TrainingSpec, step: int) -> float:
    """Learning rate of optimizer step `step` (0-based): linear warm-up, then the schedule."""
    total = steps(spec)
    if step < spec.warmup:
        first = spec.lr / 10 if spec.warmup_lr is None else spec.warmup_lr
        return first + (spec.lr - first) * step / spec.warmup
    if spec.schedule == "cosine":
        progress = (step - spec.warmup) / max(1, total - spec.warmup)
        return spec.lr * 0.5 * (1 + math.cos(math.pi * progress))
    if spec.schedule == "step":
        passed = sum(step >= milestone * total for milestone in spec.milestones)
        return spec.lr * (0.1**passed if spec.factors is None else (1.0, *spec.factors)[passed])
    return spec.lr
