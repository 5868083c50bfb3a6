"""Augmentation of training clips: one draw of crop, flip and colour jitter a clip, done alike to all of its frames.

Source: DMGAL IV-B ("random crop, horizontal flip and color jitter ... no flip on SSv2"); public code crops support clips
only and flips and jitters queries too, hence two policies (`fsar_core.specs.AugmentationSpec`). The colour operations are
torchvision's. A draw is plain numbers, so that masks can follow the geometry of their frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fsar_core.errors import FsarError
from fsar_core.runtime.seeding import rng
from fsar_core.specs import AugmentationSpec, FeatureSpec, Jitter, ViewPolicy


@dataclass(frozen=True)
class Draw:
    """What is done to one clip.

    Attributes:
        top, left: corner of the crop, pixels of the stored square.
        flip: mirrored left to right.
        colour: (operation, value) in the order of application; empty without jitter.
    """

    top: int
    left: int
    flip: bool = False
    colour: tuple[tuple[str, float], ...] = ()


def draw(
    policy: ViewPolicy | None, size: int, crop: int, random: np.random.Generator | None = None
) -> Draw:
    """The draw of one clip; without a policy the centre crop of the test view.

    Args:
        size: pixels of the stored square; crop: pixels of the square that is cut out.
    Raises:
        FsarError: the crop is larger than the stored square.
    """
    if crop > size:
        raise FsarError(f"cannot crop {crop} pixels from frames of {size} x {size}")
    top = left = (size - crop) // 2
    if policy is None:
        return Draw(top, left)
    if policy.crop == "random":
        top, left = (int(n) for n in random.integers(0, size - crop + 1, 2))
    flip = bool(random.random() < policy.flip)
    return Draw(top, left, flip, () if policy.jitter is None else _colour(policy.jitter, random))


def stored_draw(spec: FeatureSpec, row: int, view: int, size: int) -> Draw:
    """What is done to a stored view of a clip before a cut behind `frames`, once and for all."""
    policy = spec.policy_of(view)
    random = rng(spec.frames.seed, "augmentation", spec.dataset, int(row), view) if policy else None
    return draw(policy, size, spec.crop, random)


def live_draws(
    augmentation: AugmentationSpec | None,
    side: Literal["support", "query"],
    seed: int | None,
    clips: int,
    size: int,
    crop: int,
) -> list[Draw]:
    """What is done to the clips of one side of an episode at the cut `frames`; `seed` is the episode's, None: centre crop."""
    random = None if seed is None else rng(seed, "augmentation", side)
    policy = (
        getattr(augmentation, side) if augmentation is not None and random is not None else None
    )
    return [draw(policy, size, crop, random) for _ in range(clips)]


def _colour(jitter: Jitter, random: np.random.Generator) -> tuple[tuple[str, float], ...]:
    if random.random() < jitter.gray:
        return (("gray", 1.0),)
    spans = {name: getattr(jitter, name) for name in ("brightness", "contrast", "saturation")}
    values = [(name, float(random.uniform(1 - x, 1 + x))) for name, x in spans.items() if x]
    values += [("hue", float(random.uniform(-jitter.hue, jitter.hue)))] if jitter.hue else []
    return tuple(values[i] for i in random.permutation(len(values)))


def cut_out(images: Tensor, drawn: Draw, crop: int) -> Tensor:
    """The geometry of a draw: [... height width] to [... crop crop], for frames and for their masks."""
    part = images[..., drawn.top : drawn.top + crop, drawn.left : drawn.left + crop]
    return part.flip(-1) if drawn.flip else part


def apply(clip: np.ndarray, drawn: Draw, crop: int) -> Tensor:
    """uint8 [frames height width channels] as stored to uint8 [frames channels crop crop]."""
    images = cut_out(torch.from_numpy(clip).permute(0, 3, 1, 2), drawn, crop).contiguous()
    if drawn.colour:
        # Only here: importing it takes longer than importing all that a training on cached features needs beside torch.
        from torchvision.transforms.v2 import functional
    for operation, value in drawn.colour:
        if operation == "gray":
            images = functional.rgb_to_grayscale(images, num_output_channels=3)
        else:
            images = getattr(functional, f"adjust_{operation}")(images, value)
    return images
