"""Φ_cls: class scores of every frame, and the actionness that SGTM ranks frames by.

Source: "Saliency-Guided Fine-Grained Temporal Mask Learning for Few-Shot Action Recognition" (SGTM), Eq. 1-2 and section
3.2: several temporal convolutions with ReLU and Dropout between them, trained on the labels of the training classes with
the backbone frozen, then frozen itself.

    A = Φ_cls(X)                       Eq. 1, [frames classes], of frame features X [frames dim]
    actionness = sigmoid(Σ_class A)    Eq. 2, [frames]

The paper gives neither depth nor width: two 1x1 convolutions with 512 channels between are the fit to its 37.2 M parameters
(`fsar_core/heads/sgtm.py`). Silent too: how frames become a video (here the mean of their scores), the loss, dropout and
optimiser, and whether "interspersed with ReLU layers" has one behind the last convolution.

It has one here (`rectified`), as the actionness of CoLA (Zhang et al., CVPR 2021), whose words Eq. 2 repeats. Without it the sum
means nothing that the loss knows of. The softmax cross-entropy of a video does not see a number added to all of its scores: its
gradient, summed over the classes, is zero, and what is left is how Adam rescales a gradient of one class against that of all
others, which drives the sum down where a class is seen. One yes-or-no question a class (`loss="binary"`) determines the sum, but
every class that a frame surely does not show pulls it down. Both rank the frames of an action last: on clips whose action fills
a part (demo_partial, validation classes, three seeds) a frame inside outranks one outside in 4 % (cross_entropy) and 34 %
(binary) of the pairs, behind the last ReLU in 77 to 89 %. There a score is evidence for a class and 0 is none, so the sum is the
evidence for any.

Differs: frames are ranked by the sum, before the sigmoid: of 64 classes it soon leaves the range where floats near 1 differ.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float, Int64
from torch import Tensor, nn
from tqdm import trange

from fsar_core.components.base import Component
from fsar_core.components.parameters import PositiveInt, Probability
from fsar_core.components.validation import check_arguments
from fsar_core.errors import FsarError
from fsar_core.runtime.seeding import derive, rng

FrameFeatures = Float[Tensor, "*videos frames dim"]
ClassScores = Float[Tensor, "*videos frames classes"]
FrameScores = Float[Tensor, "*videos frames"]


class FrameClassifier(Component):
    """Φ_cls of Eq. 1: convolution over the frames dim -> hidden, ReLU, Dropout, convolution hidden -> classes, ReLU.

    Args:
        dim: channels of the features, D.
        classes: training classes, C.
        hidden: channels between the convolutions.
        dropout: from 0 to below 1.
        kernel: frames that a convolution sees, odd; beyond the ends of a video it sees zeros. 1: each frame alone.
        rectified: whether the last ReLU is there, so that no score is below 0.

    Raises:
        FsarError: a value outside these.
    """

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
        """Of frame features without a grid, and of any leading axes, the scores of every frame."""
        rows = rearrange(features.flatten(0, -3), "videos frames dim -> videos dim frames")
        scores = self.outer(self.dropout(self.inner(rows).relu()))
        scores = scores.relu() if self.rectified else scores
        return rearrange(scores, "videos classes frames -> videos frames classes").unflatten(0, features.shape[:-2])


def video_logits(scores: ClassScores) -> Float[Tensor, "*videos classes"]:
    """The class scores of a video, the mean of its frames'."""
    return reduce(scores, "... frames classes -> ... classes", "mean")


def actionness(scores: ClassScores) -> FrameScores:
    """Eq. 2 before its sigmoid, which would tie what the sum still tells apart: what frames are ranked by."""
    return reduce(scores, "... frames classes -> ... frames", "sum")


def saliency(scores: ClassScores) -> FrameScores:
    """Eq. 2 as it is written, from 0 to 1: for people to look at."""
    return actionness(scores).sigmoid()


@check_arguments("saliency")
def train_classifier(
    features: Float[Tensor, "clips frames dim"],
    labels: Int64[Tensor, " clips"],
    epochs: PositiveInt = 20,
    batch: PositiveInt = 64,
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    seed: int = 0,
    hidden: PositiveInt = 512,
    dropout: Probability = 0.5,
    kernel: PositiveInt = 1,
    rectified: bool = True,
    loss: Literal["cross_entropy", "binary"] = "cross_entropy",
    classes: PositiveInt | None = None,
    device: torch.device | str = "cpu",
) -> tuple[dict[str, Tensor], list[dict]]:
    """Step one of the paper's training: fit Φ_cls to the training classes with AdamW.

    Everything random follows from `seed`: equal arguments give equal weights.

    Args:
        features: of the training clips, averaged over their grid; of any precision, in the memory of any device.
        labels: 0..classes-1.
        batch: clips of a step; the last step of an epoch takes what is left.
        rectified: as of `FrameClassifier`; "binary" needs scores below 0 and goes without it.
        loss: on the logits of a clip, "cross_entropy" of a softmax or "binary" of one sigmoid a class, summed over the
            classes; the module's docstring says what becomes of the actionness.
        classes: None: as many as the labels name.
        device: where to train; the state comes back in CPU memory.

    Returns:
        The state dict of a `FrameClassifier` and one history row an epoch: epoch, loss, accuracy (of the clips as they were
        met in training, from 0 to 1).

    Raises:
        FsarError: features and labels that do not fit each other, or a value outside those above.
    """
    classes = _checked(features, labels, classes)
    if rectified and loss == "binary":
        raise FsarError("saliency: loss='binary' needs scores below 0; set rectified=False, or loss='cross_entropy'")
    torch.manual_seed(derive(seed, "saliency"))
    classifier = FrameClassifier(features.shape[-1], classes, hidden, dropout, kernel, rectified).to(device)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=lr, weight_decay=weight_decay)
    history = []
    classifier.train()
    for epoch in trange(epochs, desc="saliency", unit="epoch", mininterval=1):
        order = torch.from_numpy(rng(seed, "saliency", "epoch", epoch).permutation(len(features)))
        losses, hits = [], 0
        for chosen in order.split(batch):
            target = labels[chosen].to(device)
            logits = video_logits(classifier(features[chosen].to(device, torch.float32)))
            step_loss = _loss(logits, target, loss)
            optimizer.zero_grad()
            step_loss.backward()
            optimizer.step()
            losses.append(step_loss.item() * len(chosen))
            hits += int((logits.argmax(1) == target).sum())
        history.append({"epoch": epoch, "loss": float(np.sum(losses)) / len(order), "accuracy": hits / len(order)})
    return {name: value.cpu() for name, value in classifier.state_dict().items()}, history


@check_arguments("saliency")
def score(
    classifier: FrameClassifier, features: Float[Tensor, "clips frames dim"], batch: PositiveInt = 256
) -> Float[Tensor, "clips frames"]:
    """`actionness` of every frame in evaluation mode, float32 in CPU memory; `batch` clips at a time, where the classifier is.

    The classifier is left in the mode in which it came.
    """
    device, training = next(classifier.parameters()).device, classifier.training
    classifier.eval()
    try:
        with torch.no_grad():
            found = [actionness(classifier(some.to(device, torch.float32))).cpu() for some in features.split(batch)]
    finally:
        classifier.train(training)
    return torch.cat(found)


def _loss(logits: Tensor, target: Tensor, loss: str) -> Tensor:
    if loss == "cross_entropy":
        return F.cross_entropy(logits, target)
    wanted = F.one_hot(target, logits.shape[1]).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(logits)


def _checked(features: Tensor, labels: Tensor, classes: int | None) -> int:
    """The number of classes. FsarError unless there is a label below it for every clip."""
    if features.ndim != 3 or labels.ndim != 1 or len(features) != len(labels) or not len(labels):
        raise FsarError(
            f"saliency: features must be [clips frames dim] and labels [clips], clips at least 1, got "
            f"{list(features.shape)} and {list(labels.shape)}"
        )
    if labels.dtype != torch.int64:
        raise FsarError(f"saliency: labels must be int64, got {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if classes is None:
        classes = high + 1
    if low < 0 or high >= classes:
        raise FsarError(
            f"saliency: labels run from {low} to {high}, expected 0 to {classes - 1}; number the classes anew"
        )
    return classes
