"""A planned store of three jobs and its values, small enough to be filled in every test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from fsar_core.specs import FeatureSpec
from fsar_core.storage.places import Place
from fsar_core.stores.layout import Plan, create
from fsar_core.stores.manifest import read_manifest, seal
from fsar_core.stores.writer import finished_job, write_job
from tests.builders import array_blocks, feature_plan, toy_feature_spec, toy_features, toy_index


@dataclass
class Toy:
    """150 clips, two views: jobs 0 and 1 fill 64 clips each, job 2 fills 22."""

    path: Place
    spec: FeatureSpec
    plan: Plan
    index: pd.DataFrame
    values: np.ndarray

    def receipt(self, job: int) -> Place:
        return self.path / "receipts" / f"{job}.json"

    def write(self, job: int, values: np.ndarray | None = None, inputs: dict | None = None) -> dict:
        values = self.values if values is None else values
        blocks = array_blocks(values, self.plan.rows(job), self.index)
        return write_job(self.path, job, blocks, self.receipt(job), inputs=inputs)

    def finished(self, job: int, inputs: dict) -> dict | None:
        return finished_job(self.path, job, self.receipt(job), inputs)

    def fill(self) -> Toy:
        for job in range(self.plan.jobs):
            self.write(job)
        return self

    def seal(self, max_failures: float = 0.0) -> dict:
        return seal(self.path, max_failures)

    @property
    def manifest(self) -> dict:
        return read_manifest(self.path)

    def shard(self, number: int, view: int = 0) -> Place:
        return self.path / f"data.zarr/features/c/{number}/{view}/0/0/0/0"


def planned(path: Place, broken: tuple[int, ...] = (), **changes) -> Toy:
    """A planned, empty store. `changes` are fields of the spec."""
    index = toy_index({"train": 15, "val": 5, "test": 5}, clips=6)
    index.loc[list(broken), "problem"] = "empty file"
    spec = toy_feature_spec(frames=2, views=2, **changes)
    values = toy_features(index, 2, 4, 2, 2, views=2)
    plan = feature_plan(spec, values.shape[2:], len(index))
    create(path, plan)
    return Toy(path, spec, plan, index, values)


@pytest.fixture
def make_toy(tmp_path):
    """`make_toy(name)`: a planned, empty store; equal names of two folders give equal stores."""
    return lambda name="store", broken=(), **changes: planned(tmp_path / name, broken, **changes)


@pytest.fixture
def toy(make_toy) -> Toy:
    return make_toy()


@pytest.fixture
def sealed(toy) -> Toy:
    toy.fill().seal()
    return toy
