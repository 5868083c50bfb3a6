"""Masks that are held out: which clips', and that nothing is learned from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fsar_core.data.held_out import held_out
from fsar_core.inputs.instance_masks import MaskSource
from fsar_core.runtime.devices import Machine
from fsar_core.specs import Component
from fsar_core.training.loop import train
from tests.builders import toy_features, toy_index
from tests.training.toys import SHAPE, ArrayReader, Toy, equal_states, model_of, run_spec


@pytest.fixture
def index():
    """Three training classes of 20 clips, two a source video; test and validation clips behind them."""
    return toy_index({"train": 3, "val": 2, "test": 2}, clips=20)


@pytest.mark.parametrize(
    ("share", "count"),
    # Whole sources of two clips: the number asked for, or the next larger even one; at least one source.
    [(0.1, 2), (0.15, 4), (0.2, 4), (0.25, 6), (0.5, 10), (0.001, 2), (0.99, 18)],
)
def test_a_share_of_every_class(index, share, count):
    rows = held_out(index, share, seed=0)
    assert rows.tolist() == sorted(set(rows.tolist())) and rows.dtype == np.int64
    chosen = index.set_index("row").loc[rows]
    assert set(chosen.split) == {"train"} and chosen[
        "class"
    ].value_counts().to_dict() == dict.fromkeys(
        sorted(set(index["class"][index.split == "train"])), count
    )
    assert (chosen.groupby("group").size() == 2).all()


@pytest.mark.parametrize("share", [None, 0, 0.0])
def test_nothing_is_held_out_unasked(index, share):
    assert held_out(index, share, seed=0).shape == (0,)


def test_which_ones_is_a_function_of_the_seed_and_the_list(index):
    rows = held_out(index, 0.2, seed=0).tolist()
    assert rows == held_out(index, 0.2, seed=0).tolist() != held_out(index, 0.2, seed=1).tolist()
    # What became of the clips later has no part in it, nor has the number of other classes.
    assert rows == held_out(index.assign(problem="broken: x", file=""), 0.2, seed=0).tolist()
    one = index[index["class"] == index["class"].iloc[0]]
    assert held_out(one, 0.2, seed=0).tolist() == [row for row in rows if row < 20]
    # More clips are the same ones and others.
    assert set(rows) < set(held_out(index, 0.4, seed=0).tolist())


def test_clips_of_no_known_source_are_sources(index):
    rows = held_out(index.assign(group=""), 0.15, seed=0)
    assert np.bincount(rows // 20).tolist() == [3, 3, 3]


def test_the_last_source_of_a_class_is_kept(index):
    assert held_out(index.assign(group="one"), 0.2, seed=0).shape == (0,)


GRID = SHAPE | dict(height=2, width=2)
CPU = Machine(torch.device("cpu"), mixed_precision=False, evaluation_batch=10)


def trained(toy, spec, masks, held, tmp_path, name):
    rows = np.concatenate(toy.split.rows)
    source = MaskSource(ArrayReader(masks), spec.features, held).load(rows, 1.0, many_views=rows)
    model = model_of(spec)
    last = tmp_path / name
    return train(spec, model, toy.bank, toy.split, toy.validation, last, CPU, sources=[source])[0]


@pytest.mark.parametrize(
    "head", [Component(name="ipm"), Component(name="i2st", params={"heads": 2, "r": 2})]
)
def test_training_never_sees_them(head, tmp_path):
    matching = "global_local" if head.name == "i2st" else "otam"
    spec = run_spec(matching, episodes=8, validations=1).model_copy(update={"head": head})
    index = toy_index()
    toy = Toy(spec, toy_features(index, **GRID), index)
    held = held_out(index, 0.3, seed=0)
    train_clips = int((index.split == "train").sum())
    masks = np.random.default_rng(0).integers(0, 256, (train_clips, 1, 4, 32, 32), np.uint8)
    others, seen = masks.copy(), masks.copy()
    others[held] = 255 - others[held]
    seen[np.setdiff1d(np.arange(train_clips), held)] //= 2
    first = trained(toy, spec, masks, held, tmp_path, "a.pt")
    assert all(value.isfinite().all() for value in first.values())
    assert equal_states(first, trained(toy, spec, others, held, tmp_path, "b.pt"))
    assert not equal_states(first, trained(toy, spec, seen, held, tmp_path, "c.pt"))
    assert not equal_states(first, trained(toy, spec, masks, None, tmp_path, "d.pt"))


def test_an_episode_of_held_out_clips_alone_learns_nothing_of_masks(tmp_path):
    spec = run_spec("otam", episodes=4, validations=1).model_copy(
        update={"head": Component(name="ipm")}
    )
    toy = Toy(spec, toy_features(toy_index(), **GRID))
    rows = np.concatenate(toy.split.rows)
    masks = np.full((len(rows), 1, 4, 32, 32), 255, np.uint8)
    state = trained(toy, spec, masks, rows, tmp_path, "a.pt")
    start = model_of(spec).learned()
    decoder = [key for key in state if "decoder" in key]
    assert decoder and all(torch.equal(state[key], start[key]) for key in decoder)
    assert not all(torch.equal(state[key], start[key]) for key in state)
