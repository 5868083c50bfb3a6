"""Training of a small backbone on the training classes of a frame store.

Source: TSN (Wang et al., ECCV 2016): the class scores of a clip are the mean of its frames' scores;
cross-entropy. Differs: half of the stored frames, drawn at random in each step, stand for a clip,
and crops are drawn once for all of them.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange, reduce
from torch import Tensor, nn
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
    """Train a backbone; return its state dict and one row of history for each epoch.

    Args:
        frames: uint8 [clip frames height width channels] of the training classes, view 0.
        labels: int64 [clip], 0..classes-1.
        meter: counts the time that is waited for images.
    """
    meter = meter or Meter()
    torch.manual_seed(derive(spec.seed, "backbone", spec.backbone.name))
    network = _FrameClassifier(spec, classes=int(labels.max()) + 1).to(device)
    steps = spec.epochs * math.ceil(len(frames) / spec.batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=spec.lr, weight_decay=spec.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=spec.lr, total_steps=steps)
    history = []
    network.train()
    for epoch in trange(spec.epochs, desc="backbone", unit="epoch", mininterval=1):
        random = rng(spec.seed, "backbone", "epoch", epoch)
        order = random.permutation(len(frames))
        parts = [order[start : start + spec.batch] for start in range(0, len(order), spec.batch)]
        coming = prefetched(partial(_images, frames, spec.crop, random), parts, device)
        losses = []
        hits = 0
        for images, chosen in zip(meter.waiting(coming), parts, strict=True):
            target = torch.from_numpy(labels[chosen]).to(device)
            scores = network(images, clips=len(chosen))
            loss = nn.functional.cross_entropy(scores, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            hits += int((scores.argmax(1) == target).sum())
        mean_loss, accuracy = float(np.mean(losses)), hits / len(order)
        history.append({"epoch": epoch, "loss": mean_loss, "accuracy": accuracy})
    return network.backbone.state_dict(), history


class _FrameClassifier(nn.Module):
    """The backbone with a linear classifier behind its last cut."""

    def __init__(self, spec: BackboneTrainingSpec, classes: int) -> None:
        super().__init__()
        self.backbone = build("backbones", spec.backbone.name, **spec.backbone.params)
        self.last = self.backbone.cuts[-1]
        black = torch.zeros(1, 3, spec.crop, spec.crop, dtype=torch.uint8)
        with torch.no_grad():
            dim = self.backbone.eval().to_cut(black, self.last).shape[1]
        self.classifier = nn.Linear(dim, classes)

    def forward(self, images: Tensor, clips: int) -> Tensor:
        """Return the class scores of clips, [clip classes], from the images of all their frames."""
        features = self.backbone.to_cut(images, self.last)
        pooled = reduce(features, "images dim height width -> images dim", "mean")
        scores = self.classifier(pooled)
        return reduce(scores, "(clip frames) classes -> clip classes", "mean", clip=clips)


def _images(
    frames: np.ndarray, crop: int, random: np.random.Generator, chosen: np.ndarray
) -> Tensor:
    return torch.from_numpy(_draw(frames[chosen], crop, random))


def _draw(clips: np.ndarray, crop: int, random: np.random.Generator) -> np.ndarray:
    """Return half of the frames of every clip, each clip in one random crop.

    They are uint8 [(clip frames) channels height width].
    """
    count, side = clips.shape[1], clips.shape[2]
    out = []
    for clip in clips:
        top, left = random.integers(0, side - crop + 1, 2)
        some = np.sort(random.permutation(count)[: max(1, count // 2)])
        out.append(clip[some, top : top + crop, left : left + crop])
    axes = "clip frames height width channels -> (clip frames) channels height width"
    return np.ascontiguousarray(rearrange(np.stack(out), axes))
