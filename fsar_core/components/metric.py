"""The base class of metrics: what compares the clips of an episode."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from fsar_core.components.base import Component
from fsar_core.errors import FsarError
from fsar_core.types import Logits


class Metric(Component):
    """Compares the query clips of an episode with the support clips of each class.

    A metric works in two steps. `encode` does for each clip what does not depend on other clips; a
    test does it once per clip. `compare` does the rest.
    """

    supplied = ("dim", "frames")

    spatial: ClassVar[bool] = False
    """Whether clips are [frames dim height width]; otherwise they are [frames dim]."""

    global_tokens: ClassVar[int] = 0
    """Entries before the frames that stand for the whole clip.

    Heads with the same number go with the metric.
    """

    sums_frames: ClassVar[bool] = False
    """Whether logits are sums over the frames of both clips, so that they grow with the frames."""

    def encode(self, clips: Tensor) -> tuple[Tensor, ...]:
        """Encode each clip alone: any number of tensors, each with the leading axes of `clips`.

        Args:
            clips: [*clips frames dim], spatial metrics also height and width.
        """
        return (clips,)

    @abstractmethod
    def compare(self, support: tuple[Tensor, ...], query: tuple[Tensor, ...]) -> Logits:
        """Compare encoded clips.

        Args:
            support: what `encode` returned for [batch way shot ...].
            query: what `encode` returned for [batch query ...].
        Returns:
            Logits [batch query way]; higher means more similar.
        """

    def check(self, support: Tensor, query: Tensor) -> None:
        """Raise FsarError if the shapes do not fit each other or this metric."""
        check_episode(self, support, query)

    def forward(self, support: Tensor, query: Tensor) -> Logits:
        """Compare the clips of an episode.

        Args:
            support: [batch way shot frames dim], spatial metrics also height and width.
            query: [batch query frames dim], likewise.
        Raises:
            FsarError: the shapes do not fit each other or this metric.
        """
        self.check(support, query)
        return self.compare(self.encode(support), self.encode(query))


def check_episode(metric: Metric, support: Tensor, query: Tensor, **sizes: int) -> None:
    """Raise FsarError unless support and query are an episode of clips of one shape.

    Args:
        sizes: sizes of clip axes that the metric was built for, for example `dim=2048`.
    """
    axes = ("frames", "dim", "height", "width") if metric.spatial else ("frames", "dim")
    _check_axes(metric.name, "support", support, ("batch", "way", "shot", *axes))
    _check_axes(metric.name, "query", query, ("batch", "query", *axes))
    if support.shape[0] != query.shape[0] or support.shape[3:] != query.shape[2:]:
        raise FsarError(
            f"{metric.name}: support and query must agree in batch {' '.join(axes)}, "
            f"got shapes {tuple(support.shape)} and {tuple(query.shape)}"
        )
    for axis, expected in sizes.items():
        size = query.shape[2 + axes.index(axis)]
        if size != expected:
            raise FsarError(
                f"{metric.name}: built for {axis}={expected}, got features with {axis}={size}"
            )


def _check_axes(metric: str, side: str, clips: Tensor, axes: tuple[str, ...]) -> None:
    if clips.ndim != len(axes):
        raise FsarError(
            f"{metric}: {side} must be [{' '.join(axes)}] ({len(axes)} axes), got shape {tuple(clips.shape)}"
        )
    if 0 in clips.shape:
        raise FsarError(f"{metric}: {side} has an empty axis: shape {tuple(clips.shape)}")
