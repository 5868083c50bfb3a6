"""Training and running Φ_cls, the frame classifier whose actionness SGTM ranks frames by.

Source: "Saliency-Guided Fine-Grained Temporal Mask Learning for Few-Shot Action Recognition"
(SGTM), section 3.2: Φ_cls (`fsar_core/layers/frame_classifier.py`) is trained on the labels of the
training classes with the backbone frozen, then frozen itself.

Not in the paper: how frames become a video (here the mean of their scores), the loss, dropout and
optimizer, and whether there is a ReLU after the last convolution. `rectified` has one, because
without it the actionness means nothing to the loss:

- The softmax cross-entropy of a video does not change when a number is added to all of its scores.
  Its gradient, summed over the classes, is zero. What is left is how Adam rescales the gradient of
  one class against that of all others, which drives the sum down where a class is seen.
- One sigmoid per class (`loss="binary"`) determines the sum, but every class that a frame surely
  does not show pulls it down.

Both rank the frames of an action last. On clips whose action fills a part (demo_partial, validation
classes, three seeds), a frame inside outranks one outside in 4 % (cross_entropy) and 34 % (binary)
of the pairs, and in 77 to 89 % with the last ReLU. There, a score is evidence for a class and 0 is
none, so that the sum is the evidence for any class.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import trange

from fsar_core.components.parameters import PositiveInt, Probability
from fsar_core.components.validation import check_arguments
from fsar_core.errors import FsarError
from fsar_core.layers.frame_classifier import ClassScores, FrameClassifier, actionness
from fsar_core.runtime.seeding import derive, rng


def video_logits(scores: ClassScores) -> Float[Tensor, "*videos classes"]:
    """Return the class scores of a video, the mean of its frames'."""
    return reduce(scores, "... frames classes -> ... classes", "mean")


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
    """Fit Φ_cls to the training classes with AdamW: step one of the paper's training.

    Everything random follows from `seed`: equal arguments give equal weights.

    Args:
        features: of the training clips, averaged over their grid; any precision, any device.
        labels: 0..classes-1.
        batch: clips of a step; the last step of an epoch takes what is left.
        rectified: as of `FrameClassifier`; "binary" needs scores below 0 and goes without it.
        loss: on the logits of a clip, "cross_entropy" of a softmax, or "binary" of one sigmoid per
            class, summed over the classes.
        classes: None means as many as the labels name.
        device: where to train; the state comes back in CPU memory.

    Returns:
        The state dict of a `FrameClassifier` and one history row per epoch: epoch, loss, accuracy
        (of the clips during training, from 0 to 1).

    Raises:
        FsarError: features and labels that do not fit each other, or an invalid value.
    """
    classes = _checked(features, labels, classes)
    if rectified and loss == "binary":
        raise FsarError(
            "saliency: loss='binary' needs scores below 0; set rectified=False, or loss='cross_entropy'"
        )
    torch.manual_seed(derive(seed, "saliency"))
    dim = features.shape[-1]
    classifier = FrameClassifier(dim, classes, hidden, dropout, kernel, rectified).to(device)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=lr, weight_decay=weight_decay)
    history = []
    classifier.train()
    for epoch in trange(epochs, desc="saliency", unit="epoch", mininterval=1):
        order = torch.from_numpy(rng(seed, "saliency", "epoch", epoch).permutation(len(features)))
        losses: list[float] = []
        hits = 0
        for chosen in order.split(batch):
            target = labels[chosen].to(device)
            logits = video_logits(classifier(features[chosen].to(device, torch.float32)))
            step_loss = _loss(logits, target, loss)
            optimizer.zero_grad()
            step_loss.backward()
            optimizer.step()
            losses.append(step_loss.item() * len(chosen))
            hits += int((logits.argmax(1) == target).sum())
        mean_loss = float(np.sum(losses)) / len(order)
        history.append({"epoch": epoch, "loss": mean_loss, "accuracy": hits / len(order)})
    return {name: value.cpu() for name, value in classifier.state_dict().items()}, history


@check_arguments("saliency")
def score(
    classifier: FrameClassifier,
    features: Float[Tensor, "clips frames dim"],
    batch: PositiveInt = 256,
) -> Float[Tensor, "clips frames"]:
    """Return the actionness of every frame in evaluation mode, float32 in CPU memory.

    The classifier stays on its device and in its mode.

    Args:
        batch: clips of one forward pass.
    """
    device = next(classifier.parameters()).device
    training = classifier.training
    classifier.eval()
    scores = []
    try:
        with torch.no_grad():
            for clips in features.split(batch):
                scores.append(actionness(classifier(clips.to(device, torch.float32))).cpu())
    finally:
        classifier.train(training)
    return torch.cat(scores)


def _loss(logits: Tensor, target: Tensor, loss: str) -> Tensor:
    if loss == "cross_entropy":
        return F.cross_entropy(logits, target)
    wanted = F.one_hot(target, logits.shape[1]).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(logits)


def _checked(features: Tensor, labels: Tensor, classes: int | None) -> int:
    """Return the number of classes.

    Raises:
        FsarError: a clip has no label below that number.
    """
    fit = features.ndim == 3 and labels.ndim == 1 and len(features) == len(labels)
    if not fit or not len(labels):
        raise FsarError(
            f"saliency: features must be [clips frames dim] and labels [clips], "
            f"clips at least 1, got {list(features.shape)} and {list(labels.shape)}"
        )
    if labels.dtype != torch.int64:
        raise FsarError(f"saliency: labels must be int64, got {labels.dtype}")
    low = int(labels.min())
    high = int(labels.max())
    if classes is None:
        classes = high + 1
    if low < 0 or high >= classes:
        raise FsarError(
            f"saliency: labels run from {low} to {high}, expected 0 to {classes - 1}; number the classes anew"
        )
    return classes
