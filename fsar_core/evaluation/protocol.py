"""Testing a model on frozen episodes: the result of every query is kept.

Source: N-way K-shot accuracy averaged over episodes (DMGAL IV-B: 10,000). Differs: episodes are frozen and shared by all
methods, every query's prediction is written down, and intervals are given (`fsar_core.evaluation.statistics`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from fsar_core.episodes.loader import FeatureBank, batches
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.errors import FsarError
from fsar_core.runtime.devices import room
from fsar_core.runtime.prefetch import prefetched

if TYPE_CHECKING:
    from fsar_core.models.episode_model import EpisodeModel
    from fsar_core.runtime.devices import Machine


@torch.inference_mode()
def logits(
    model: EpisodeModel, bank: FeatureBank, table: EpisodeTable, machine: Machine, progress: bool = False
) -> np.ndarray:
    """float32 [episode query way] of all episodes of a table, in evaluation mode.

    What a model makes of a clip by itself is made once and held in memory, where it fits; else in every episode.
    """
    model.eval()
    found = []
    with tqdm(total=len(table), desc="episodes", unit="episode", mininterval=1, disable=not progress) as bar:
        for batch in _batches(model, bank, table, machine, progress):
            if not torch.isfinite(batch).all():
                raise FsarError(
                    "the logits of an episode are not finite, so no accuracy can be told: lower `lr`, set `clip_norm`, or set "
                    "`mixed_precision: false` in config.yaml"
                )
            found.append(batch.float().cpu().numpy())
            bar.update(len(batch))
    return np.concatenate(found)


def _batches(
    model: EpisodeModel, bank: FeatureBank, table: EpisodeTable, machine: Machine, progress: bool
) -> Iterator[torch.Tensor]:
    """Logits [batch query way] of as many episodes at a time as the machine takes at once."""
    rows, episode_clips = table.rows, (table.support.size + table.query.size) // len(table)
    # With the metric's own part of each clip, or, where that is too large to be held, without it.
    for metric in (False,) if model.head.relates else (True, False):
        encoded = _encoded(model, bank, rows, machine, progress, metric)
        if encoded:
            break
    else:
        size = machine.at_once(bank.pass_bytes * episode_clips)
        coming = batches(bank, (table[i] for i in range(len(table))), size, machine.device)
        for episodes in machine.meter.waiting(coming):
            with _precision(machine):
                batch, _ = model(episodes)
            yield batch
        return
    size = machine.at_once(sum(part[0].nbytes for part in encoded) * episode_clips)
    places = [torch.from_numpy(np.searchsorted(rows, of)).split(size) for of in (table.support, table.query)]
    for of_batch in zip(*places):
        sides = (_at(encoded, of) for of in of_batch)
        with _precision(machine):
            yield model.relate(*sides, metric)


def _at(encoded: list[torch.Tensor], places: torch.Tensor) -> tuple[torch.Tensor, ...]:
    # index_select copies whole clips, which indexing by a tensor does not.
    flat = places.reshape(-1).to(encoded[0].device)
    return tuple(part.index_select(0, flat).unflatten(0, places.shape) for part in encoded)


def _encoded(
    model: EpisodeModel, bank: FeatureBank, rows: np.ndarray, machine: Machine, progress: bool, metric: bool
) -> list[torch.Tensor]:
    """What the model makes of each clip by itself, each part [clip ...], on the device; nothing where that cannot be."""
    size = machine.at_once(bank.pass_bytes)
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    coming = prefetched(lambda part: bank.prepared(bank.clips(part)[None], "query", [None])[0], parts, machine.device)
    held: list[torch.Tensor] = []
    start = 0
    with tqdm(total=len(rows), desc="clips", unit="clip", mininterval=1, disable=not progress) as bar:
        for clips in machine.meter.waiting(coming):
            with _precision(machine):
                made = model.encode(clips, metric)
            if not held and sum(each[0].nbytes for each in made) * len(rows) > room(machine.device, bank.memory_gib):
                return []
            held = held or [each.new_empty(len(rows), *each.shape[1:]) for each in made]
            for whole, each in zip(held, made):
                whole[start : start + len(clips)] = each
            start += len(clips)
            bar.update(len(clips))
    return held


def _precision(machine: Machine) -> torch.autocast:
    return torch.autocast(machine.device.type, enabled=machine.mixed_precision and machine.device.type == "cuda")


def accuracy(model: EpisodeModel, bank: FeatureBank, table: EpisodeTable, machine: Machine) -> float:
    """Share of right queries, in 0..1."""
    return float((logits(model, bank, table, machine).argmax(-1) == table.labels).mean())


def query_results(table: EpisodeTable, scores: np.ndarray) -> pd.DataFrame:
    """One row a query.

    Columns: episode, clip (store row), class and predicted (class ids of the split), correct (0 or 1), margin (logit of the
    right class minus the best other).
    """
    episodes, queries, way = scores.shape
    predicted = scores.argmax(-1)
    right = np.take_along_axis(scores, table.labels[..., None], axis=-1)[..., 0]
    others = np.where(np.arange(way) == table.labels[..., None], -np.inf, scores).max(-1)
    return pd.DataFrame(
        {
            "episode": np.repeat(np.arange(episodes), queries),
            "clip": table.query.reshape(-1),
            "class": np.take_along_axis(table.classes, table.labels, axis=1).reshape(-1),
            "predicted": np.take_along_axis(table.classes, predicted, axis=1).reshape(-1),
            "correct": (predicted == table.labels).astype(np.int64).reshape(-1),
            "margin": (right - others).reshape(-1),
        }
    )
