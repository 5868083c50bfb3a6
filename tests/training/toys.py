"""A toy run: spec, features in memory, split, validation episodes, model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from fsar_core.episodes import tables
from fsar_core.episodes.loader import FeatureBank
from fsar_core.episodes.sampler import Split
from fsar_core.models.episode_model import EpisodeModel, build_model
from fsar_core.runtime.devices import Machine
from fsar_core.specs import Component, EpisodeSpec, RunSpec, TrainingSpec
from tests.builders import toy_feature_spec, toy_features, toy_index

SHAPE = dict(frames=4, dim=8, height=1, width=1)
MACHINE = Machine(torch.device("cpu"), mixed_precision=False, evaluation_batch=10)
TRX = dict(cardinalities=[2], out_dim=8, dropout=0.0)


class ArrayReader:
    """What `FeatureBank` needs of a store's reader, on an array [clip view frames dim height width]."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.failed = values, frozenset()
        self.clips, self.views, *self.clip_shape = values.shape
        self.clip_bytes = values[0, 0].nbytes

    def read(self, rows, view=0, threads=1):
        return self.values[rows, view]

    def read_clip(self, row, view=0):
        return self.values[row, view]


def training_spec(**changes) -> TrainingSpec:
    usual = dict(
        episodes=24,
        batch=2,
        accumulate=1,
        query=2,
        optimizer="adam",
        lr=0.01,
        weight_decay=0.0,
        warmup=0,
        schedule="constant",
        validations=3,
    )
    return TrainingSpec(**usual | changes)


def run_spec(
    matching="trx",
    head="identity",
    views=1,
    seed=0,
    train_tail=False,
    train_shot=1,
    batch_norm="train",
    **training,
) -> RunSpec:
    """A 3-way 1-shot run; `matching` is the name of a metric or a component."""
    if matching == "trx":
        matching = Component(name="trx", params=TRX)
    episodes = dict(
        dataset="toy", card="0", way=3, shot=1, query=1, seed=seed, group_disjoint=False
    )
    return RunSpec(
        features=toy_feature_spec(frames=SHAPE["frames"], views=views),
        train_tail=train_tail,
        batch_norm=batch_norm,
        head=Component(name=head),
        matching=Component(name=matching) if isinstance(matching, str) else matching,
        training=training_spec(**training),
        train_shot=train_shot,
        validation=EpisodeSpec(split="val", count=20, **episodes),
        test=EpisodeSpec(split="test", count=20, **episodes),
        seed=seed,
    )


class Toy:
    """Everything that `train` takes besides its spec and its model."""

    def __init__(
        self, spec: RunSpec, values: np.ndarray | None = None, index: pd.DataFrame | None = None
    ) -> None:
        index = toy_index() if index is None else index
        self.views = spec.features.frames.views
        self.values = toy_features(index, views=self.views, **SHAPE) if values is None else values
        self.split = Split.from_index(index, "train")
        self.validation = tables.draw(spec.validation, Split.from_index(index, "val"))
        self.test = tables.draw(spec.test, Split.from_index(index, "test"))
        rows = np.concatenate(
            [np.concatenate(self.split.rows), self.validation.rows, self.test.rows]
        )
        self.bank = FeatureBank(
            ArrayReader(self.values), rows, 1.0, many_views=np.concatenate(self.split.rows)
        )


def model_of(
    spec: RunSpec, seed: int = 0, tail: torch.nn.Module | None = None, dim: int = SHAPE["dim"]
) -> EpisodeModel:
    """The run's model with initial weights of `seed`."""
    torch.manual_seed(seed)
    return build_model(spec, torch.nn.Identity() if tail is None else tail, dim, SHAPE["frames"])


def equal_states(left: dict, right: dict) -> bool:
    """Whether two state dicts are equal bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def without_seconds(history: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]
