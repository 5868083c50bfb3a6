"""A training step of each paper's head on cached features, against the same step from the frames.

    python benchmarks/training.py [--repeats 2] [--device cpu|cuda] [--threads N] [DMGAL I2ST SGTM]

5-way 1-shot, one query a class, 8 frames, ResNet-50. From the cache: ten clips of layer4 (float16 2048 x 7 x 7) are taken out of
a bank in memory, then head and metric forwards, the losses backwards and Adam's step. From the frames: the same with the
backbone, forwards and backwards, before it, as public code trains (224 pixels, everything trained). Weights are random.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import torch
from _side_by_side import Line, chosen, in_turn, ratios, time_text
from episodes import Held, split
from torch import nn

from fsar_core.episodes.loader import FeatureBank, TrainingBank
from fsar_core.episodes.sampler import sample
from fsar_core.registry import accepted, build
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

    def _step(self, episodes, optimizer: torch.optim.Optimizer) -> None:
        logits, extra = self.model(episodes)
        (episodic_cross_entropy(logits, episodes.labels) + sum(extra.values())).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def cached(self) -> None:
        self._step(self._episode(), self.of_head)

    def from_frames(self) -> None:
        episodes = self._episode()
        features = self.backbone.to_cut(self.clips.to(self.device).flatten(0, 1), "layer4").unflatten(0, (10, 8))
        episodes.support, episodes.query = features[None, :5, None], features[None, 5:]
        self._step(episodes, self.of_all)


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


if __name__ == "__main__":
    main()
