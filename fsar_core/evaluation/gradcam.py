"""Grad-CAM on the episodes of a metric: which places of a query's frames speak for its right class.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", Eq. 1 and 2; I2ST,
Fig. 6. Here A are the features of a query as the head is given them, y the logit of its right class in the episode:

    w[frame, dim] = mean over the grid of dy/dA        map[frame] = ReLU(Σ_dim w · A)

Differs: not the library `grad-cam`. It takes models of one input, where a logit here compares a query to its supports and hangs
on all frames at once; it stretches every image to 0..1 by itself, which hides that a frame counts for nothing; and it brings
OpenCV. `tests/evaluation/test_gradcam.py` compares to it where it is installed.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from fsar_core.devices import Machine
from fsar_core.episodes.loader import FeatureBank, FrameBank
from fsar_core.episodes.sampler import Episode
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.training.model import EpisodeModel


def class_activation(
    score: Float[Tensor, ""], features: Float[Tensor, "frames dim height width"]
) -> Float[Tensor, "frames height width"]:
    """The map of a score over features that it was computed from, at least 0."""
    (gradient,) = torch.autograd.grad(score, features)
    weights = gradient.mean((-2, -1), keepdim=True)
    return (weights * features.detach()).sum(1).relu()


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
    episodes = [table[i] for i in tqdm(range(min(count, len(table))), desc="episodes", unit="episode")]
    maps = [_of_query(model, bank, drawn, 0, machine)[0].double().sum((-2, -1)).cpu().numpy() for drawn in episodes]
    return {"evidence": np.stack(maps), "evidence_rows": np.array([drawn.query[0] for drawn in episodes])}


def _of_query(
    model: EpisodeModel, bank: FeatureBank, drawn: Episode, query: int, machine: Machine
) -> tuple[Float[Tensor, "frames height width"], Float[Tensor, " way"]]:
    """The map of a query's right class, and the query's logits."""
    with torch.no_grad():
        support, queries = model.before_head(bank.batch([drawn]).to(machine.device))
    with torch.enable_grad():
        features = queries[0, query].clone().requires_grad_()
        # Among the others of its episode, which a head may look at too.
        logits, _ = model.compare(support, queries.index_put((torch.tensor(0), torch.tensor(query)), features))
        return class_activation(logits[0, query, drawn.labels[query]], features), logits[0, query].detach()
