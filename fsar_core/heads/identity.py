"""The head that changes nothing: the metric compares the backbone's own features.

Source: the baselines of every few-shot action recognition table (a backbone and a matching metric, nothing between).
"""

from __future__ import annotations

from torch import Tensor, nn

from fsar_core.types import GridQuery, GridSupport, HeadOutput


class Identity(nn.Module):
    """Return the features unchanged. No parameters, no losses; `aux` is ignored."""

    task_level = False

    def alone(self, videos: Tensor) -> Tensor:
        return videos

    def forward(self, support: GridSupport, query: GridQuery, **aux: Tensor) -> HeadOutput:
        """
        Args:
            support: [batch way shot frames dim height width]
            query: [batch query frames dim height width]
        """
        return HeadOutput(support, query)
