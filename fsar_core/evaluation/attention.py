"""The attention of a trained head: on chosen queries, and how much of it is on the right class.

Source: DMGAL, Fig. 4, 5 and 8. Differs: examples are queries of the frozen test episodes, by number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from einops import reduce
from tqdm import tqdm

from fsar_core.episodes.loader import FeatureBank, FrameBank, batches
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.evaluation.opened_run import OpenedRun
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.runtime.devices import Machine


def inspect(run: OpenedRun, wanted: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return `attention` on examples, and `right_class` [episode], the share of the right class.

    Args:
        wanted: attention, pairs of (episode, query); grid, the side of the grid of patches;
            episodes, how many the share is measured on.
    """
    examples = wanted["attention"]
    measured = min(wanted["episodes"], len(run.table))
    bank = run.episode_bank([*(episode for episode, _ in examples), *range(measured)])
    shown = attention(
        run.model, bank, run.pictures, run.table, examples, wanted["grid"], run.machine
    )
    right = attention_on_the_right_class(run.model, bank, run.table, measured, run.machine)
    return shown | {"right_class": right}


@torch.inference_mode()
def attention(
    model: EpisodeModel,
    bank: FeatureBank,
    pictures: FrameBank,
    table: EpisodeTable,
    examples: list[tuple[int, int]],
    grid: int,
    machine: Machine,
) -> dict[str, np.ndarray]:
    """What the head attends to on queries of episodes.

    Args:
        pictures: the frames of the same clips, cropped as the backbone sees them.
        examples: (episode, query) of each.
        grid: side of the grid of `DMGAL.attention`.

    Returns:
        For each example, under "<episode>.<query>.": query_frames uint8 [frames 3 height width], support_frames
        [way shot frames 3 height width], query_class, predicted_class (text), support_classes [way] (text), lambda_self and
        lambda_cross (scalars), and as far as the head has them self_query [frames patches patches], association_query
        [pairs patches patches], cross [frames patches key_frames way shot key_patches].
    """
    model.eval()
    found: dict[str, np.ndarray] = {}
    for episode, query in tqdm(examples, desc="examples", unit="example"):
        drawn = table[episode]
        features = bank.batch([drawn]).to(machine.device)
        names = [table.class_names[class_id] for class_id in drawn.classes]
        logits, _ = model(features)
        seen = pictures.batch([drawn])
        parts = {
            "query_frames": seen.query[0, query],
            "support_frames": seen.support[0],
            "query_class": names[drawn.labels[query]],
            "predicted_class": names[int(logits[0, query].argmax())],
            "support_classes": names,
        }
        for name, value in model.head.attention(*model.before_head(features), grid=grid).items():
            if name.endswith(("_query", "cross")) and value.ndim:
                parts[name] = value[0, query]
            elif name.startswith("lambda"):
                parts[name] = value
        for name, value in parts.items():
            array = value.cpu().numpy() if isinstance(value, torch.Tensor) else np.array(value)
            found[f"{episode}.{query}.{name}"] = array
    return found


@torch.inference_mode()
def attention_on_the_right_class(
    model: EpisodeModel, bank: FeatureBank, table: EpisodeTable, count: int, machine: Machine
) -> np.ndarray:
    """float64 [episode]: of the first `count` episodes, the share of a query's cross attention that falls on the supports of its
    own class, the mean over queries, frames and patches. Uniform attention has 1 / way. Empty for a head without it."""
    model.eval()
    shares, size = (
        [],
        machine.at_once(bank.pass_bytes * (table.support.size + table.query.size) // len(table)),
    )
    for episodes in batches(bank, (table[i] for i in range(min(count, len(table)))), size):
        episodes = episodes.to(machine.device)
        cross = model.head.attention(*model.before_head(episodes)).get("cross")
        if cross is None:
            return np.empty(0)
        of_class = reduce(
            cross,
            "batch query frames patches key_frames way shot key_patches -> batch query frames patches way",
            "sum",
        )
        of_class = reduce(of_class, "batch query frames patches way -> batch query way", "mean")
        right = of_class.gather(-1, episodes.labels[..., None])
        shares.append(right.double().mean((1, 2)).cpu().numpy())
    return np.concatenate(shares)
