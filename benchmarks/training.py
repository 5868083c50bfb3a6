"""A training step of each paper's head on cached features, against the same step from the frames.

    python benchmarks/training.py [--repeats 2] [--device cpu|cuda] [--threads N] [DMGAL I2ST SGTM]

5-way 1-shot, one query a class, 8 frames, ResNet-50. From the cache: ten clips of layer4 (float16 2048 x 7 x 7) are taken out of
a bank in memory, then head and metric forwards, the losses backwards and Adam's step. From the frames: the same with the
backbone, forwards and backwards, before it, as public code trains (224 pixels, everything trained). Weights are random. On a GPU
in mixed precision, the bank on the GPU itself, 20 steps a measurement.

Waiting: the share of a step's time that the quickest head, SGTM, waits for its data, where nothing is held in memory and every
clip is read from a zstd store.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import count
from pathlib import Path

import numpy as np
import torch
from _gpu import columns
from _side_by_side import Line, chosen, in_turn, ratios, time_text
from episodes import Held, split
from torch import nn

from fsar_core.components.registry import accepted, build
from fsar_core.episodes.loader import FeatureBank, batches
from fsar_core.episodes.sampler import sample
from fsar_core.inputs.bank import EpisodeBank
from fsar_core.inputs.class_ids import ClassSource
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.models.losses import episodic_cross_entropy
from fsar_core.runtime.devices import Meter
from fsar_core.stores.layout import create
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import write_job
from tests.builders import array_blocks, feature_plan, toy_feature_spec

HEADS = {"DMGAL": ("dmgal", "bimhm"), "I2ST": ("i2st", "global_local"), "SGTM": ("sgtm", "otam")}
GOAL = "at least 10"


class Trained:
    """A head in training on one data set of six classes, from the cache and from the frames."""

    def __init__(self, head: str, metric: str, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device = device
        self.steps = 20 if device.type == "cuda" else 1  # of one measurement
        module = build("heads", head, **accepted("heads", head, dim=2048, frames=8, classes=6))
        self.model = (
            EpisodeModel(nn.Identity(), module, build("matching", metric)).to(device).train()
        )
        self.backbone = build("backbones", "resnet50").to(device).train()
        held = Held(120, 7)
        self.split = split(6, 20)
        self.bank = EpisodeBank(
            FeatureBank(held, np.arange(120), memory_gib=20, device=device), [ClassSource()]
        )
        drawn = (sample(0, self.split, 5, 1, 1, number) for number in count())
        self.coming = batches(self.bank, drawn, 1, device)
        self.clips = torch.randint(0, 256, (10, 8, 3, 224, 224), dtype=torch.uint8)
        self.aux = self._aux(head)
        self.of_head = torch.optim.Adam(self.model.trainable, lr=1e-5)
        self.of_all = torch.optim.Adam(
            [*self.model.trainable, *self.backbone.parameters()], lr=1e-5
        )

    def _aux(self, head: str) -> dict[str, torch.Tensor]:
        """What else a head learns from; both ways are given it."""
        if head == "i2st":
            return {
                "support_masks": torch.rand(1, 5, 1, 8, 224, 224),
                "query_masks": torch.rand(1, 5, 8, 224, 224),
            }
        if head == "sgtm":
            return {
                "support_saliency": torch.rand(1, 5, 1, 8),
                "query_saliency": torch.rand(1, 5, 8),
            }
        return {}

    def _episode(self):
        episodes = next(self.coming)
        episodes.aux |= {name: tensor.to(self.device) for name, tensor in self.aux.items()}
        return episodes

    def step(self, episodes, optimizer: torch.optim.Optimizer) -> None:
        with self.precision():
            logits, extra = self.model(episodes)
            loss = episodic_cross_entropy(logits, episodes.labels) + sum(extra.values())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, enabled=self.device.type == "cuda")

    def cached(self) -> None:
        for _ in range(self.steps):
            self.step(self._episode(), self.of_head)

    def from_frames(self) -> None:
        for _ in range(self.steps):
            episodes = self._episode()
            with self.precision():
                features = self.backbone.to_cut(
                    self.clips.to(self.device).flatten(0, 1), "layer4"
                ).unflatten(0, (10, 8))
            episodes.support, episodes.query = features[None, :5, None], features[None, 5:]
            self.step(episodes, self.of_all)


def waiting(device: torch.device, repeats: int) -> Line:
    """Of training steps, how much of the time goes by until their data is there."""
    steps = 200 if device.type == "cuda" else 20
    trained = Trained(*HEADS["SGTM"], device)
    held, shares, whole = Held(120, 7), [], []
    with tempfile.TemporaryDirectory() as folder:
        spec = toy_feature_spec()
        plan = feature_plan(spec, held.clip_shape, held.clips)
        create(Path(folder), plan)
        for job in range(plan.jobs):
            write_job(
                Path(folder),
                job,
                array_blocks(held.values, plan.rows(job)),
                Path(folder, f"receipts/{job}.json"),
            )
        seal(Path(folder), 0)
        bank = FeatureBank(
            StoreReader(Path(folder), "features", spec), np.arange(120), memory_gib=0
        )
        for repeat in range(repeats):
            meter = Meter()
            drawn = (
                sample(0, trained.split, 5, 1, 1, repeat * steps + number)
                for number in range(steps)
            )
            for episodes in meter.waiting(
                batches(EpisodeBank(bank, [ClassSource()]), drawn, 1, device)
            ):
                episodes.aux |= {name: tensor.to(device) for name, tensor in trained.aux.items()}
                trained.step(episodes, trained.of_head)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            whole.append((time.perf_counter() - meter.started) / steps)
            shares.append(meter.waited / steps / whole[-1])
    waited = statistics.median(shares) * statistics.median(whole)
    figures = time_text(waited), time_text(statistics.median(whole))
    what = "waiting for data in training, SGTM, nothing held in memory"
    gpu = ["", ""] if device.type == "cuda" else []
    return Line(what, figures[0], "the whole step", figures[1], shares, "at most 0.05", gpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heads", nargs="*")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in chosen(parser, args.heads, HEADS):
        trained = Trained(*HEADS[name], torch.device(args.device))
        warm = args.device == "cuda"
        fast, slow = in_turn(trained.cached, trained.from_frames, repeats=args.repeats, warm=warm)
        figures = [time_text(statistics.median(times) / trained.steps) for times in (fast, slow)]
        what = f"training step from the cache, {name}"
        gpu = columns(trained.cached, statistics.median(fast), trained.device, trained.steps)
        Line(
            what, figures[0], "the step from the frames", figures[1], ratios(slow, fast), GOAL, gpu
        ).show()
        del trained
    waiting(torch.device(args.device), args.repeats).show()


if __name__ == "__main__":
    main()
