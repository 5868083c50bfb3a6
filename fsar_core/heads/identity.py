"""The head that changes nothing: the metric compares the backbone's own features.

Source: the baselines of every few-shot action recognition table (a backbone and a matching metric, nothing between).
"""

from __future__ import annotations

from torch import Tensor

from fsar_core.components.head import Head


class Identity(Head):
    """Returns the features unchanged. It has no parameters and no losses."""

    def encode(self, clips: Tensor) -> Tensor:
        """Return the clips."""
        return clips
