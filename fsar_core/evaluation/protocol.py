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

from fsar_core.episodes.loader import Bank, FeatureBank, batches
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.errors import FsarError
from fsar_core.inputs.bank import EpisodeBank
from fsar_core.runtime.devices import room
from fsar_core.runtime.prefetch import prefetched

if TYPE_CHECKING:
    from fsar_core.models.episode_model import EpisodeModel
    from fsar_core.runtime.devices import Machine


@torch.inference_mode()
def logits(
    model: EpisodeModel,
    bank: FeatureBank | EpisodeBank,
    table: EpisodeTable,
    machine: Machine,
    progress: bool = False,
) -> np.ndarray:
    """Return the logits of all episodes of a table, float32 [episode query way].

    Each clip is encoded once and held in memory if all of them fit, else in every episode. So it is
    for a head that receives inputs in tests.

    Args:
        bank: features of the clips; an `EpisodeBank` for a head that receives inputs in tests.
    """
    model.eval()
    found = []
    with tqdm(
        total=len(table), desc="episodes", unit="episode", mininterval=1, disable=not progress
    ) as bar:
        for batch in _batches(model, bank, table, machine, progress):
            if not torch.isfinite(batch).all():
                raise FsarError(
                    "the logits of an episode are not finite, so no accuracy can be told: lower "
                    "`lr`, set `clip_norm`, or set `mixed_precision: false` in config.yaml"
                )
            found.append(batch.float().cpu().numpy())
            bar.update(len(batch))
    return np.concatenate(found)


def _batches(
    model: EpisodeModel,
    bank: FeatureBank | EpisodeBank,
    table: EpisodeTable,
    machine: Machine,
    progress: bool,
) -> Iterator[torch.Tensor]:
    """Yield the logits [batch query way] of as many episodes at a time as the machine takes."""
    if isinstance(bank, EpisodeBank):
        yield from _whole_episodes(model, bank, bank.features.pass_bytes, table, machine)
        return
    # With the metric's part of each clip or, where that is too large to be held, without it.
    for metric in (False,) if model.head.relates else (True, False):
        encoded = _encoded(model, bank, table.rows, machine, progress, metric)
        if encoded:
            yield from _encoded_episodes(model, encoded, table, machine, metric)
            return
    yield from _whole_episodes(model, bank, bank.pass_bytes, table, machine)


def _whole_episodes(
    model: EpisodeModel, bank: Bank, clip_bytes: int, table: EpisodeTable, machine: Machine
) -> Iterator[torch.Tensor]:
    """Yield logits of episodes whose clips are encoded in each of them."""
    size = machine.at_once(clip_bytes * _clips_of_episode(table))
    episodes = (table[number] for number in range(len(table)))
    coming = batches(bank, episodes, size, machine.device)
    for batch in machine.meter.waiting(coming):
        with _precision(machine):
            scores, _ = model(batch)
        yield scores


def _encoded_episodes(
    model: EpisodeModel,
    encoded: list[torch.Tensor],
    table: EpisodeTable,
    machine: Machine,
    metric: bool,
) -> Iterator[torch.Tensor]:
    """Yield logits of episodes whose clips have been encoded, in the order of `table.rows`."""
    clip_bytes = sum(part[0].nbytes for part in encoded)
    size = machine.at_once(clip_bytes * _clips_of_episode(table))
    support, query = (
        torch.from_numpy(np.searchsorted(table.rows, rows)).split(size)
        for rows in (table.support, table.query)
    )
    for support_places, query_places in zip(support, query, strict=True):
        sides = _at(encoded, support_places), _at(encoded, query_places)
        with _precision(machine):
            yield model.relate(*sides, metric)


def _clips_of_episode(table: EpisodeTable) -> int:
    return (table.support.size + table.query.size) // len(table)


def _at(encoded: list[torch.Tensor], places: torch.Tensor) -> tuple[torch.Tensor, ...]:
    # index_select copies whole clips, which indexing by a tensor does not.
    flat = places.reshape(-1).to(encoded[0].device)
    return tuple(part.index_select(0, flat).unflatten(0, places.shape) for part in encoded)


def _encoded(
    model: EpisodeModel,
    bank: FeatureBank,
    rows: np.ndarray,
    machine: Machine,
    progress: bool,
    metric: bool,
) -> list[torch.Tensor]:
    """What the model makes of each clip by itself, each part [clip ...], on the device; nothing where that cannot be."""
    size = machine.at_once(bank.pass_bytes)
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    coming = prefetched(
        lambda part: bank.prepared(bank.clips(part)[None], "query", [None])[0],
        parts,
        machine.device,
    )
    held: list[torch.Tensor] = []
    start = 0
    with tqdm(
        total=len(rows), desc="clips", unit="clip", mininterval=1, disable=not progress
    ) as bar:
        for clips in machine.meter.waiting(coming):
            with _precision(machine):
                made = model.encode(clips, metric)
            if not held and sum(each[0].nbytes for each in made) * len(rows) > room(
                machine.device, bank.memory_gib
            ):
                return []
            held = held or [each.new_empty(len(rows), *each.shape[1:]) for each in made]
            for whole, each in zip(held, made):
                whole[start : start + len(clips)] = each
            start += len(clips)
            bar.update(len(clips))
    return held


def _precision(machine: Machine) -> torch.autocast:
    return torch.autocast(machine.device.type, enabled=machine.half_precision)


def accuracy(
    model: EpisodeModel, bank: FeatureBank | EpisodeBank, table: EpisodeTable, machine: Machine
) -> float:
    """Return the share of queries that are classified correctly, in 0..1."""
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
