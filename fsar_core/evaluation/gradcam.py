"""Grad-CAM on the episodes of a metric: which places of a query's frames speak for its right class.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", Eq. 1 and 2; I2ST,
Fig. 6. Here A are the features of a query as the head is given them, y the logit of its right class in the episode:

    w[frame, dim] = mean over the grid of dy/dA        map[frame] = ReLU(Σ_dim w · A)

The formula is captum's. (The library `grad-cam` takes models of one input, where a logit here compares a query to its supports
and hangs on all frames at once, and stretches every image to 0..1, which hides that a frame counts for nothing.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from captum.attr import LayerGradCam
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from fsar_core.episodes.loader import FeatureBank, FrameBank
from fsar_core.episodes.sampler import Episode
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.evaluation.opened_run import OpenedRun
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.runtime.devices import Machine


class _Compared(nn.Module):
    """The features of one query [frames dim height width] to its logits [1 way], the rest of the episode held as it is: among the
    other queries too, which a head may look at.
    """

    def __init__(self, model: EpisodeModel, support: Tensor, queries: Tensor, query: int):
        super().__init__()
        self.features = nn.Identity()  # where captum reads them and their gradient
        self.model, self.support, self.queries, self.query = model, support, queries, query

    def forward(self, features: Tensor) -> Tensor:
        at = torch.tensor(0), torch.tensor(self.query)
        logits, _ = self.model.compare(
            self.support, self.queries.index_put(at, self.features(features))
        )
        return logits[0, self.query][None]


def inspect(run: OpenedRun, wanted: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return `class_activations` on examples, and `evidence` if it is wanted.

    Args:
        wanted: cam, pairs of (episode, query); evidence (optional), how many episodes it is
            measured on.
    """
    examples = wanted["cam"]
    measured = min(wanted.get("evidence", 0), len(run.table))
    bank = run.episode_bank([*(episode for episode, _ in examples), *range(measured)])
    arrays = class_activations(run.model, bank, run.pictures, run.table, examples, run.machine)
    if measured:
        arrays |= evidence(run.model, bank, run.table, measured, run.machine)
    return arrays


def class_activations(
    model: EpisodeModel,
    bank: FeatureBank,
    pictures: FrameBank,
    table: EpisodeTable,
    examples: list[tuple[int, int]],
    machine: Machine,
) -> dict[str, np.ndarray]:
    """Grad-CAM of the right class on queries of episodes; the rest of an episode is held as it is.

    Args:
        pictures: the frames of the same clips, cropped as the backbone sees them.
        examples: (episode, query) of each.

    Returns:
        For each example, under "<episode>.<query>.": query_frames uint8 [frames 3 height width], cam float32 [frames
        grid_height grid_width], query_class, predicted_class (text), query_row (of the stores).
    """
    model.eval()
    found: dict[str, np.ndarray] = {}
    for episode, query in tqdm(examples, desc="examples", unit="example"):
        drawn = table[episode]
        names = [table.class_names[class_id] for class_id in drawn.classes]
        cam, logits = _of_query(model, bank, drawn, query, machine)
        parts = {
            "query_frames": pictures.batch([drawn]).query[0, query].numpy(),
            "cam": cam.float().cpu().numpy(),
            "query_class": np.array(names[drawn.labels[query]]),
            "predicted_class": np.array(names[int(logits.argmax())]),
            "query_row": np.array(drawn.query[query]),
        }
        found |= {f"{episode}.{query}.{name}": value for name, value in parts.items()}
    return found


def evidence(
    model: EpisodeModel, bank: FeatureBank, table: EpisodeTable, count: int, machine: Machine
) -> dict[str, np.ndarray]:
    """How the evidence for the right class is spread over the frames of the first query of each of the first `count` episodes.

    Returns:
        evidence float64 [episode frames], the sum of a frame's map, and evidence_rows int64 [episode], the clips.
    """
    model.eval()
    episodes = [
        table[i] for i in tqdm(range(min(count, len(table))), desc="episodes", unit="episode")
    ]
    maps = [
        _of_query(model, bank, drawn, 0, machine)[0].double().sum((-2, -1)).cpu().numpy()
        for drawn in episodes
    ]
    return {
        "evidence": np.stack(maps),
        "evidence_rows": np.array([drawn.query[0] for drawn in episodes]),
    }


def _of_query(
    model: EpisodeModel, bank: FeatureBank, drawn: Episode, query: int, machine: Machine
) -> tuple[Float[Tensor, "frames height width"], Float[Tensor, " way"]]:
    """The map of a query's right class, and the query's logits."""
    with torch.no_grad():
        support, queries = model.before_head(bank.batch([drawn]).to(machine.device))
        features = queries[0, query]
        compared = _Compared(model, support, queries, query)
        (logits,) = compared(features)
    with torch.enable_grad():
        explain = LayerGradCam(compared, compared.features)
        cam = explain.attribute(
            features.clone(), target=int(drawn.labels[query]), relu_attributions=True
        )
    return cam[:, 0].detach(), logits
