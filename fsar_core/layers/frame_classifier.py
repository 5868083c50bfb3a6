"""Φ_cls: class scores of every frame, and the actionness that SGTM ranks frames by.

Source: "Saliency-Guided Fine-Grained Temporal Mask Learning for Few-Shot Action Recognition"
(SGTM), Eq. 1-2 and section 3.2: several temporal convolutions with ReLU and Dropout between them.

    A = Φ_cls(X)                       Eq. 1, [frames classes], of frame features X [frames dim]
    actionness = sigmoid(Σ_class A)    Eq. 2, [frames]

The paper gives neither depth nor width: two 1x1 convolutions with 512 channels between them are the
fit to its 37.2 M parameters (`fsar_core/heads/sgtm.py`). Whether "interspersed with ReLU layers"
has one after the last convolution is not said either.

Here it has one (`rectified`), like the actionness of CoLA (Zhang et al., CVPR 2021), whose words
Eq. 2 repeats. Without it, the sum over the classes means nothing to the loss
(`fsar_core/saliency/classifier.py` gives the measurements).

Differs: frames are ranked by the sum before the sigmoid: with 64 classes the sigmoid soon leaves
the range in which floats near 1 differ.
"""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.components.parameters import PositiveInt, Probability
from fsar_core.components.validation import check_arguments
from fsar_core.errors import FsarError

FrameFeatures = Float[Tensor, "*videos frames dim"]
ClassScores = Float[Tensor, "*videos frames classes"]
FrameScores = Float[Tensor, "*videos frames"]


class FrameClassifier(nn.Module):
    """Eq. 1: convolution over the frames, ReLU, Dropout, convolution over the frames, ReLU.

    Args:
        dim: channels of the features, D.
        classes: training classes, C.
        hidden: channels between the convolutions.
        dropout: from 0 to below 1.
        kernel: frames that a convolution sees, odd. Beyond the ends of a video it sees zeros.
            1 treats each frame alone.
        rectified: whether the last ReLU is there, so that no score is below 0.

    Raises:
        FsarError: a value outside these.

    Example:
        >>> import torch
        >>> FrameClassifier(dim=4, classes=3)(torch.zeros(2, 8, 4)).shape
        torch.Size([2, 8, 3])
    """

    @check_arguments("saliency")
    def __init__(
        self,
        dim: PositiveInt,
        classes: PositiveInt,
        hidden: PositiveInt = 512,
        dropout: Probability = 0.5,
        kernel: PositiveInt = 1,
        rectified: bool = True,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise FsarError(f"saliency: kernel={kernel} is not valid; valid: odd numbers")
        self.rectified = rectified
        self.inner = nn.Conv1d(dim, hidden, kernel, padding=kernel // 2)
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Conv1d(hidden, classes, kernel, padding=kernel // 2)

    def forward(self, features: FrameFeatures) -> ClassScores:
        """Score every frame.

        Args:
            features: averaged over their grid, [*videos frames dim], any leading axes.
        """
        rows = rearrange(features.flatten(0, -3), "videos frames dim -> videos dim frames")
        scores = self.outer(self.dropout(self.inner(rows).relu()))
        scores = scores.relu() if self.rectified else scores
        frames = rearrange(scores, "videos classes frames -> videos frames classes")
        return frames.unflatten(0, features.shape[:-2])


class FrozenFrameClassifier(FrameClassifier):
    """Φ_cls as a part of a head: trained before, never changed, always without dropout.

    Args:
        As in `FrameClassifier`.
    """

    def __init__(
        self, dim: int, classes: int, hidden: int = 512, kernel: int = 1, rectified: bool = True
    ) -> None:
        # It never runs with dropout, so the rate of its training does not matter here.
        super().__init__(dim, classes, hidden=hidden, kernel=kernel, rectified=rectified)
        self.trained = False
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenFrameClassifier:
        """Stay in evaluation mode."""
        return super().train(False)

    def load_trained(self, state: dict[str, Tensor], owner: str) -> None:
        """Load the weights of a trained classifier.

        Args:
            state: its state.
            owner: name of the head, for errors.

        Raises:
            FsarError: the weights do not fit.
        """
        expected = {name: list(value.shape) for name, value in self.state_dict().items()}
        given = {name: list(value.shape) for name, value in state.items()}
        if expected != given:
            raise FsarError(
                f"{owner}: the classifier's weights are {given}, expected {expected}; "
                f"train it on the same features and classes"
            )
        self.load_state_dict(state)
        self.trained = True

    def actionness(self, features: FrameFeatures) -> FrameScores:
        """Rank frames without gradient, at full precision: half precision would tie scores."""
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            return actionness(self(features.to(self.inner.weight.dtype)))


def actionness(scores: ClassScores) -> FrameScores:
    """Rank frames: Eq. 2 before its sigmoid, which would tie what the sum still tells apart."""
    return reduce(scores, "... frames classes -> ... frames", "sum")


def saliency(scores: ClassScores) -> FrameScores:
    """Eq. 2 as it is written, from 0 to 1, for people to look at."""
    return actionness(scores).sigmoid()
