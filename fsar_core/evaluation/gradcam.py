"""Grad-CAM on the episodes of a metric: which places of a query's frames speak for its right class.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", Eq. 1 and 2; I2ST,
Fig. 6. Here A are the features of a query as the head is given them, y the logit of its right class in the episode:

    w[frame, dim] = mean over the grid of dy/dA        map[frame] = ReLU(Σ_dim w · A)

The formula is captum's. (The library `grad-cam` takes models of one input, where a logit here compares a query to its supports
and hangs on all frames at once, and stretches every image to 0..1, which hides that a frame counts for nothing.)
"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from tqdm import tqdm

from fsar_core.devices import Machine
from fsar_core.episodes.loader import FeatureBank, FrameBank
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.training.model import EpisodeModel


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
        logits, _ = self.model.compare(self.support, self.queries.index_put(at, self.features(features)))
        return logits[0, self.query][None]


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
        grid_height grid_width], query_class, predicted_class (text).
    """
    model.eval()
    found: dict[str, np.ndarray] = {}
    for episode, query in tqdm(examples, desc="examples", unit="example"):
        drawn = table[episode]
        names = [table.class_names[class_id] for class_id in drawn.classes]
        with torch.no_grad():
            support, queries = model.before_head(bank.batch([drawn]).to(machine.device))
        compared = _Compared(model, support, queries, query)
        features, right = queries[0, query], int(drawn.labels[query])
        with torch.enable_grad():
            explain = LayerGradCam(compared, compared.features)
            cam = explain.attribute(features.clone(), target=right, relu_attributions=True)
        with torch.no_grad():
            taken = int(compared(features).argmax())
        parts = {
            "query_frames": pictures.batch([drawn]).query[0, query].numpy(),
            "cam": cam[:, 0].detach().float().cpu().numpy(),
            "query_class": np.array(names[right]),
            "predicted_class": np.array(names[taken]),
        }
        found |= {f"{episode}.{query}.{name}": value for name, value in parts.items()}
    return found
