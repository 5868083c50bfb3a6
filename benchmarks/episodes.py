"""Testing 5-way 1-shot episodes on cached features, against a loop over episodes as public code has it.

    python benchmarks/episodes.py [--repeats 3] [--device cpu|cuda] [--threads N] [OTAM Bi-MHM TRX DMGAL I2ST SGTM]

Here: 10,000 episodes (TRX: 1,000) of 24 classes of 100 clips, for heads 200 (a GPU: 2,000) of 6 of 10, are drawn and tested by
`fsar_core.evaluation.protocol`. The loop draws, gathers and tests one episode after the other: the cosine metrics and TRX as
the papers' code writes them (OTAM's table cell by cell for all pairs of an episode; TRX's tuples concatenated, class by class),
the heads by their own modules, every clip anew in every episode and, in C-MGA, a support copied for each query. It is timed on
fewer episodes and counted up. Both ways give the same logits, which is checked.

Features: pooled, 8 frames of 2,048; the heads have grids of 2,048 x 7 x 7. Weights and features are random.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from _gpu import columns
from _side_by_side import Line, chosen, in_turn, ratios, short, time_text
from torch import Tensor, nn

from fsar_core.components.registry import accepted, build
from fsar_core.episodes import tables
from fsar_core.episodes.loader import EpisodeFeatures, FeatureBank
from fsar_core.episodes.sampler import Split, sample
from fsar_core.evaluation import protocol
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.runtime.devices import Machine
from fsar_core.specs import EpisodeSpec

CLASSES, CLIPS, FRAMES, DIM = 24, 100, 8, 2048


class Held:
    """Stands for a reader: random features of non-negative halves, as after a ReLU."""

    def __init__(self, clips: int, grid: int) -> None:
        random = np.random.default_rng(0)
        # The clips of a group share one draw, shifted: random numbers take longer than everything else.
        drawn = random.standard_normal(
            (min(clips, 64), 1, FRAMES, DIM, grid, grid), dtype=np.float32
        )
        scales = random.uniform(0.5, 1.5, (clips, 1, FRAMES, DIM, 1, 1)).astype(np.float32)
        parts = [drawn[i % len(drawn)] * scales[i] for i in range(clips)]
        self.values = np.stack([np.maximum(part, 0).astype(np.float16) for part in parts])
        self.clips, self.views, *self.clip_shape = self.values.shape
        self.clip_bytes = self.values[0, 0].nbytes

    def read(self, rows: np.ndarray, view: int = 0, threads: int = 1) -> np.ndarray:
        return self.values[rows, view]


def split(classes: int, clips: int) -> Split:
    names = np.repeat([f"class {i:02d}" for i in range(classes)], clips)
    index = pd.DataFrame(
        {"row": np.arange(len(names)), "class": names, "split": "test", "group": "", "problem": ""}
    )
    return Split.from_index(index, "test")


def otam_loop(support: Tensor, query: Tensor) -> Tensor:
    """[query way]: the distances of all pairs of an episode, and OTAM's table cell by cell."""
    pairs = pair_distances(support, query)
    return -(cumulated(pairs) + cumulated(pairs.transpose(2, 3)))


def pair_distances(support: Tensor, query: Tensor) -> Tensor:
    """[query way frames frames]"""
    rows, columns = query.reshape(-1, DIM), support.reshape(-1, DIM)
    norms = rows.norm(dim=1)[:, None] * columns.norm(dim=1)[None] + 0.01
    pairs = 1 - rows @ columns.T / norms
    return pairs.reshape(len(query), FRAMES, len(support), FRAMES).permute(0, 2, 1, 3)


def cumulated(pairs: Tensor, temperature: float = 0.5) -> Tensor:
    padded = nn.functional.pad(pairs, (1, 1))
    table = torch.zeros_like(padded)
    for column in range(1, padded.shape[3]):
        table[:, :, 0, column] = padded[:, :, 0, column] + table[:, :, 0, column - 1]
    for row in range(1, padded.shape[2]):
        for column in range(1, padded.shape[3]):
            came = [table[:, :, row - 1, column - 1], table[:, :, row, column - 1]]
            if column in (1, padded.shape[3] - 1):
                came.append(table[:, :, row - 1, column])
            soft = -temperature * sum(torch.exp(-cost / temperature) for cost in came).log()
            table[:, :, row, column] = padded[:, :, row, column] + soft
    return table[:, :, -1, -1]


def bimhm_loop(support: Tensor, query: Tensor) -> Tensor:
    pairs = pair_distances(support, query)
    return -(pairs.min(3).values.sum(2) + pairs.min(2).values.sum(2))


def trx_loop(metric: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Tuples are concatenated and projected in every episode, and each class is compared by itself."""

    def logits(support: Tensor, query: Tensor) -> Tensor:
        found = []
        for transformer in metric.transformers:
            size = transformer.tuples.shape[1]
            places = [torch.tensor(place) for place in combinations(range(FRAMES), size)]
            positions = 0.1 * sinusoid(FRAMES, DIM).to(support.device)
            sides = []
            for clips in (support, query):
                joined = torch.stack(
                    [(clips + positions)[:, place].flatten(1) for place in places], dim=1
                )
                sides.append(
                    (transformer.norm_k(transformer.k_linear(joined)), transformer.v_linear(joined))
                )
            (support_keys, support_values), (query_keys, query_values) = sides
            distances = torch.zeros(len(query), len(support), device=support.device)
            for number in range(len(support)):
                scores = query_keys @ support_keys[number].T / support_keys.shape[-1] ** 0.5
                prototypes = scores.softmax(dim=-1) @ support_values[number]
                distances[:, number] = (query_values - prototypes).square().sum((1, 2)) / len(
                    places
                )
            found.append(-distances)
        return torch.stack(found).mean(0)

    return logits


def sinusoid(count: int, dim: int) -> Tensor:
    angles = torch.arange(count)[:, None] * torch.exp(
        torch.arange(0, dim, 2) * (-np.log(10000.0) / dim)
    )
    waves = torch.zeros(count, dim)
    waves[:, 0::2], waves[:, 1::2] = angles.sin(), angles.cos()
    return waves


def head_loop(model: EpisodeModel) -> Callable[[Tensor, Tensor], Tensor]:
    """The model's own modules on one episode; a head that joins the clips sees each query with a support of its own."""

    def logits(support: Tensor, query: Tensor) -> Tensor:
        support, query = support[None, :, None], query[None]
        labels = torch.zeros(1, query.shape[1], dtype=torch.long, device=query.device)
        if not model.head.relates:
            return model(EpisodeFeatures(support, query, labels))[0][0]
        copies = support.repeat(query.shape[1], 1, 1, 1, 1, 1, 1)
        return model(EpisodeFeatures(copies, query.transpose(0, 1), labels.transpose(0, 1)))[0][
            :, 0
        ]

    return logits


class Test:
    """One method on random features: `here` and `loop`, and what both find."""

    def __init__(
        self,
        model: EpisodeModel,
        loop: Callable,
        held: Held,
        classes: int,
        episodes: int,
        looped: int,
        device: torch.device,
    ) -> None:
        self.model, self.episode_logits, self.episodes, self.looped = (
            model.eval().to(device),
            loop,
            episodes,
            looped,
        )
        self.split = split(classes, held.clips // classes)
        shape = dict(
            split="test", way=5, shot=1, query=1, count=episodes, seed=0, group_disjoint=False
        )
        self.spec = EpisodeSpec(dataset="random", card="0", **shape)
        self.bank = FeatureBank(held, np.arange(held.clips), memory_gib=20, device=device)
        self.machine = Machine(device, False, None)

    def here(self) -> np.ndarray:
        self.found = protocol.logits(
            self.model, self.bank, tables.draw(self.spec, self.split), self.machine
        )
        return self.found

    @torch.inference_mode()
    def loop(self) -> np.ndarray:
        found = []
        for number in range(self.looped):
            episode = sample(0, self.split, 5, 1, 1, number)
            support, query = (
                self.bank.clips(rows).float() for rows in (episode.support[:, 0], episode.query)
            )
            if support.shape[-1] == 1 and not hasattr(self.model.head, "together"):
                support, query = support[..., 0, 0], query[..., 0, 0]
            found.append(self.episode_logits(support, query))
        return torch.stack(found).cpu().numpy()

    def line(self, name: str, goal: str, repeats: int) -> Line:
        wanted = self.loop()
        np.testing.assert_allclose(self.here()[: self.looped], wanted, rtol=2e-3, atol=2e-3)
        fast, slow = in_turn(self.here, self.loop, repeats=repeats, warm=False)
        slow = [taken * self.episodes / self.looped for taken in slow]
        took = statistics.median(fast)
        return Line(
            what=f"testing {self.episodes:,} episodes, {name}, drawing included",
            here=f"{time_text(took)} ({short(self.episodes / took)} a second)",
            against="a loop over episodes",
            other=time_text(statistics.median(slow)),
            ratios=ratios(slow, fast),
            goal=goal,
            gpu=columns(self.here, took, self.machine.device),
        )


def pooled(metric: str) -> EpisodeModel:
    torch.manual_seed(0)
    matching = build("matching", metric, **accepted("matching", metric, dim=DIM, frames=FRAMES))
    return EpisodeModel(nn.Identity(), build("heads", "identity"), matching)


def headed(head: str, metric: str) -> EpisodeModel:
    torch.manual_seed(0)
    module = build("heads", head, **accepted("heads", head, dim=DIM, frames=FRAMES, classes=64))
    model = EpisodeModel(nn.Identity(), module, build("matching", metric))
    with torch.no_grad():  # scalars that begin at 0 would hide the attention
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model


METHODS = ("OTAM", "Bi-MHM", "TRX", "DMGAL", "I2ST", "SGTM")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device, more = torch.device(args.device), 10 if args.device == "cuda" else 1
    wanted = chosen(parser, args.methods, METHODS)
    held = Held(CLASSES * CLIPS, 1)
    if "OTAM" in wanted:
        test = Test(pooled("otam"), otam_loop, held, CLASSES, 10_000, 200, device)
        test.line("OTAM", "at least 40", args.repeats).show()
    if "Bi-MHM" in wanted:
        test = Test(pooled("bimhm"), bimhm_loop, held, CLASSES, 10_000, 1000, device)
        test.line("Bi-MHM", "at least 3", args.repeats).show()
    if "TRX" in wanted:
        model = pooled("trx")
        test = Test(model, trx_loop(model.matching), held, CLASSES, 1000, 4 * more, device)
        test.line("TRX", "at least 5", args.repeats).show()
    del held
    grids = Held(60, 7)
    for name, model in (
        ("DMGAL", ("dmgal", "bimhm")),
        ("I2ST", ("i2st", "global_local")),
        ("SGTM", ("sgtm", "otam")),
    ):
        if name in wanted:
            built = headed(*model)
            test = Test(built, head_loop(built), grids, 6, 200 * more, 2 * more, device)
            test.line(name, "at least 5", args.repeats).show()


if __name__ == "__main__":
    main()
