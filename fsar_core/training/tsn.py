"""Training of a small backbone on the training classes of a frame store.

Source: TSN (Wang et al., ECCV 2016): the class scores of a clip are the mean of its frames' scores; cross-entropy.
Differs: half of the stored frames, drawn at random in each step, stand for a clip, and crops are drawn once a clip.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange, reduce
from torch import nn
from tqdm import trange

from fsar_core.components.registry import build
from fsar_core.runtime.devices import Meter
from fsar_core.runtime.prefetch import prefetched
from fsar_core.runtime.seeding import derive, rng

if TYPE_CHECKING:
    from fsar_core.specs import BackboneTrainingSpec


def train_backbone(
    spec: BackboneTrainingSpec,
    frames: np.ndarray,
    labels: np.ndarray,
    device: torch.device,
    meter: Meter | None = None,
) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Train, and return the backbone's state dict and one history row an epoch.

    Args:
        frames: uint8 [clip frames height width channels] of the training classes, view 0.
        labels: int64 [clip], 0..classes-1.
        meter: counts the time that is waited for images.
    """
    torch.manual_seed(derive(spec.seed, "backbone", spec.backbone.name))
    backbone = build("backbones", spec.backbone.name, **spec.backbone.params).to(device)
    last = backbone.cuts[-1]
    with torch.no_grad():
        black = torch.zeros(1, 3, spec.crop, spec.crop, dtype=torch.uint8, device=device)
        dim = backbone.eval().to_cut(black, last).shape[1]
    classifier = nn.Linear(dim, int(labels.max()) + 1).to(device)
    parameters = [*backbone.parameters(), *classifier.parameters()]
    steps = -(-len(frames) // spec.batch)
    optimizer = torch.optim.AdamW(parameters, lr=spec.lr, weight_decay=spec.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=spec.lr, total_steps=spec.epochs * steps)
    history, meter = [], meter or Meter()
    backbone.train()
    for epoch in trange(spec.epochs, desc="backbone", unit="epoch", mininterval=1):
        random = rng(spec.seed, "backbone", "epoch", epoch)
        order = random.permutation(len(frames))
        losses, hits = [], 0
        parts = [order[start : start + spec.batch] for start in range(0, len(order), spec.batch)]
        coming = prefetched(partial(_images, frames, spec.crop, random), parts, device)
        for images, chosen in zip(meter.waiting(coming), parts, strict=True):
            target = torch.from_numpy(labels[chosen]).to(device)
            scores = classifier(reduce(backbone.to_cut(images, last), "images dim height width -> images dim", "mean"))
            scores = reduce(scores, "(clip frames) classes -> clip classes", "mean", clip=len(chosen))
            loss = nn.functional.cross_entropy(scores, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            hits += int((scores.argmax(1) == target).sum())
        history.append({"epoch": epoch, "loss": float(np.mean(losses)), "accuracy": hits / len(order)})
    return backbone.state_dict(), history


def _images(frames: np.ndarray, crop: int, random: np.random.Generator, chosen: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(_draw(frames[chosen], crop, random))


def _draw(clips: np.ndarray, crop: int, random: np.random.Generator) -> np.ndarray:
    """Half of the frames of every clip, in one random crop a clip: uint8 [(clip frames) channels height width]."""
    count, side = clips.shape[1], clips.shape[2]
    out = []
    for clip in clips:
        top, left = random.integers(0, side - crop + 1, 2)
        some = np.sort(random.permutation(count)[: max(1, count // 2)])
        out.append(clip[some, top : top + crop, left : left + crop])
    return np.ascontiguousarray(rearrange(np.stack(out), "clip frames h w channels -> (clip frames) channels h w"))
