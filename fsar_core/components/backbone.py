"""The base class of backbones: named stages in order, a cut between two of them, and the tail after it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fsar_core.components.base import Component, component_name
from fsar_core.errors import FsarError, did_you_mean


class Normalise(nn.Module):
    """uint8 images in 0..255 to a network's input range: images / 255 minus `mean`, over `std`, a colour channel each."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(
        self, images: UInt8[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images 3 height width"]:
        return (images.to(self.mean.dtype) / 255 - self.mean) / self.std


class Backbone(Component):
    """A network of named stages; the name of a stage is the cut after it.

    `to_cut` is run once and its results are cached; `tail` is what remains to be run with the head.
    The first cut, `frames`, comes before everything, so that the whole network is the tail.

    BatchNorm: what lies before a cut is frozen and uses its running statistics. After the cut,
    `training.model.EpisodeModel` decides: a frozen tail stays in evaluation mode as well, so that
    any cut gives the same logits; a trained one (`train_tail`) normalizes by the statistics of each
    batch and updates the running ones, which the evaluation then uses.
    """

    supplied = ("weights", "weights_root")

    version: ClassVar[int] = 1
    """Part of every feature store's key; raised by hand when features change."""

    cuts: ClassVar[tuple[str, ...]] = ("frames",)
    """Names of the cuts in order; the first is `frames`."""

    trainable: ClassVar[bool] = False
    """Whether the pipeline trains the backbone itself if no weights are named."""

    published_weights: ClassVar[tuple[str, ...]] = ()
    """Names under which the publisher offers weights."""

    publisher: ClassVar[str] = "torchvision"
    """Who publishes them; part of the key of feature stores."""

    def __init__(
        self,
        stages: OrderedDict[str, nn.Module],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        """Store the stages, whose names are the cuts after `frames`.

        Args:
            mean, std: per color channel, of images in [0, 1].
        """
        super().__init__()
        self.cuts = ("frames", *stages)
        self.stages = nn.ModuleDict(stages)
        self.normalise = Normalise(mean, std)

    @classmethod
    def published_file(cls, weights: str, root: str | Path | None) -> Path:
        """Return the file of published weights, downloaded to `root` first where it is missing.

        Backbones with `published_weights` override this.

        Args:
            weights: a name in `published_weights`.
        """
        name = component_name(cls)
        raise FsarError(f"{name} has no published weights; expected a file, found '{weights}'")

    def to_cut(
        self, images: UInt8[Tensor, "images 3 height width"], cut: str
    ) -> Float[Tensor, "images dim h w"]:
        """Return the activations after the stage `cut`; at `frames` the images themselves.

        Raises:
            FsarError: there is no such cut.
        """
        hidden = images
        for module in self._split_at(cut)[0]:
            hidden = module(hidden)
        return hidden

    def tail(self, cut: str) -> nn.Module:
        """Return what comes after `cut`; nn.Identity if nothing is left."""
        rest = self._split_at(cut)[1]
        return nn.Sequential(*rest) if rest else nn.Identity()

    def _split_at(self, cut: str) -> tuple[list[nn.Module], list[nn.Module]]:
        """Return what runs before and what runs after a cut.

        The normalization belongs to the first stage.
        """
        if cut not in self.cuts:
            raise FsarError(f"unknown cut '{cut}' of {self.name}{did_you_mean(cut, self.cuts)}")
        modules = [self.normalise, *self.stages.values()]
        position = self.cuts.index(cut)
        before = position + 1 if position else 0
        return modules[:before], modules[before:]
