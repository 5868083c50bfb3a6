"""The features that a metric gets of the clips of episodes.

Source: DMGAL, Fig. 9. Differs: embeddings are taken of several episodes, so that what the drawn one
shows can be measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from einops import rearrange
from tqdm import tqdm

from fsar_core.episodes.loader import FeatureBank, batches
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.evaluation.opened_run import OpenedRun
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.runtime.devices import Machine


def inspect(run: OpenedRun, wanted: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return `embeddings` of all episodes; nothing can be chosen."""
    return embeddings(run.model, run.bank(run.table.rows), run.table, run.machine)


@torch.inference_mode()
def embeddings(
    model: EpisodeModel, bank: FeatureBank, table: EpisodeTable, machine: Machine
) -> dict[str, np.ndarray]:
    """Return the features of every clip that the metric gets.

    Frames (and patches, where the metric is spatial) of a clip are joined into one row.

    Returns:
        support float32 [episode way*shot numbers] and query [episode query numbers], support_labels and query_labels
        (class ids of the split) [episode ...], class_names [class] (text).
    """
    model.eval()
    sides: dict[str, list[np.ndarray]] = {"support": [], "query": []}
    numbers = tqdm(range(len(table)), desc="episodes", unit="episode")
    for episode in batches(bank, (table[number] for number in numbers), 1):
        features = model.before_head(episode.to(machine.device))
        support, query = model.pooled(model.head(*features))
        support = rearrange(support, "1 way shot ... -> (way shot) (...)")
        query = rearrange(query, "1 query ... -> query (...)")
        sides["support"].append(support.float().cpu().numpy())
        sides["query"].append(query.float().cpu().numpy())
    return {
        **{side: np.stack(rows) for side, rows in sides.items()},
        "support_labels": np.repeat(table.classes, table.support.shape[-1], axis=1),
        "query_labels": np.take_along_axis(table.classes, table.labels, axis=1),
        "class_names": np.array(table.class_names),
    }
