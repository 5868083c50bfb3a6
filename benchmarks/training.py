"""A training step of each paper's head on cached features, against the same step from the frames.

    python benchmarks/training.py [--repeats 2] [--device cpu|cuda] [--threads N] [DMGAL I2ST SGTM]

5-way 1-shot, one query a class, 8 frames, ResNet-50. From the cache: ten clips of layer4 (float16 2048 x 7 x 7) are taken out of
a bank in memory, then head and metric forwards, the losses backwards and Adam's step. From the frames: the same with the
backbone, forwards and backwards, before it, as public code trains (224 pixels, everything trained). Weights are random.

Waiting: the share of a step's time that the quickest head, SGTM, waits for its data, where nothing is held in memory and every
clip is read from a zstd store.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _side_by_side import Line, chosen, in_turn, ratios, time_text
from episodes import Held, split
from torch import nn

from fsar_core.devices import Meter
from fsar_core.episodes.loader import FeatureBank, TrainingBank, batches
from fsar_core.episodes.sampler import sample
from fsar_core.registry import accepted, build
from fsar_core.stores.layout import create
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import write_job
from fsar_core.testing import array_blocks, feature_plan, toy_feature_spec
from fsar_core.training.losses import episodic_cross_entropy
from fsar_core.training.model import EpisodeModel

HEADS = {"DMGAL": ("dmgal", "bimhm"), "I2ST": ("i2st", "global_local"), "SGTM": ("sgtm", "otam")}
GOAL = "at least 10"


class Trained:
    """A head in training on one data set of six classes, from the cache and from the frames."""

    def __init__(self, head: str, metric: str, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device, self.number = device, 0
        module = build("heads", head, **accepted("heads", head, dim=2048, frames=8, classes=6))
        self.model = EpisodeModel(nn.Identity(), module, build("matching", metric)).to(device).train()
        self.backbone = build("backbones", "resnet50").to(device).train()
        held = Held(120, 7)
        self.split, self.bank = split(6, 20), TrainingBank(FeatureBank(held, np.arange(120), memory_gib=20))
        self.clips = torch.randint(0, 256, (10, 8, 3, 224, 224), dtype=torch.uint8)
        self.aux = self._aux(head)
        self.of_head = torch.optim.Adam(self.model.trainable, lr=1e-5)
        self.of_all = torch.optim.Adam([*self.model.trainable, *self.backbone.parameters()], lr=1e-5)

    def _aux(self, head: str) -> dict[str, torch.Tensor]:
        """What else a head learns from; both ways are given it."""
        if head == "i2st":
            return {"support_masks": torch.rand(1, 5, 1, 8, 224, 224), "query_masks": torch.rand(1, 5, 8, 224, 224)}
        if head == "sgtm":
            return {"support_saliency": torch.rand(1, 5, 1, 8), "query_saliency": torch.rand(1, 5, 8)}
        return {}

    def _episode(self):
        self.number += 1
        episodes = self.bank.batch([sample(0, self.split, 5, 1, 1, self.number)])
        episodes.aux |= self.aux
        return episodes.to(self.device)

    def step(self, episodes, optimizer: torch.optim.Optimizer) -> None:
        logits, extra = self.model(episodes)
        (episodic_cross_entropy(logits, episodes.labels) + sum(extra.values())).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def cached(self) -> None:
        self.step(self._episode(), self.of_head)

    def from_frames(self) -> None:
        episodes = self._episode()
        features = self.backbone.to_cut(self.clips.to(self.device).flatten(0, 1), "layer4").unflatten(0, (10, 8))
        episodes.support, episodes.query = features[None, :5, None], features[None, 5:]
        self.step(episodes, self.of_all)


def waiting(device: torch.device, repeats: int, steps: int = 20) -> Line:
    """Of `steps` training steps, how much of the time goes by until their data is there."""
    trained = Trained(*HEADS["SGTM"], device)
    held, shares, whole = Held(120, 7), [], []
    with tempfile.TemporaryDirectory() as folder:
        spec = toy_feature_spec()
        plan = feature_plan(spec, held.clip_shape, held.clips)
        create(Path(folder), plan)
        for job in range(plan.jobs):
            write_job(
                Path(folder), job, array_blocks(held.values, plan.rows(job)), Path(folder, f"receipts/{job}.json")
            )
        seal(Path(folder), 0)
        bank = FeatureBank(StoreReader(Path(folder), "features", spec), np.arange(120), memory_gib=0)
        for repeat in range(repeats):
            meter = Meter()
            drawn = (sample(0, trained.split, 5, 1, 1, repeat * steps + number) for number in range(steps))
            for episodes in meter.waiting(batches(TrainingBank(bank), drawn, 1, device)):
                episodes.aux |= {name: tensor.to(device) for name, tensor in trained.aux.items()}
                trained.step(episodes, trained.of_head)
            whole.append((time.perf_counter() - meter.started) / steps)
            shares.append(meter.waited / steps / whole[-1])
    waited = statistics.median(shares) * statistics.median(whole)
    figures = time_text(waited), time_text(statistics.median(whole))
    what = "waiting for data in training, SGTM, nothing held in memory"
    return Line(what, figures[0], "the whole step", figures[1], shares, "at most 0.05")


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
        fast, slow = in_turn(trained.cached, trained.from_frames, repeats=args.repeats, warm=False)
        figures = [time_text(statistics.median(times)) for times in (fast, slow)]
        what = f"training step from the cache, {name}"
        Line(what, figures[0], "the step from the frames", figures[1], ratios(slow, fast), GOAL).show()
        del trained
    waiting(torch.device(args.device), args.repeats).show()


if __name__ == "__main__":
    main()
