"""The base class of heads: what turns cached features into the features that a metric compares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from fsar_core.components.base import Component
from fsar_core.errors import FsarError
from fsar_core.types import GridQuery, GridSupport, HeadOutput


class Head(Component):
    """Turns the features of an episode into the features that a metric compares.

    A head works in two steps. `encode` treats each clip alone; a test does it once per clip.
    `relate` lets the clips of an episode interact; heads without such interaction keep the default
    and leave `relates` False.

    A head that learns from more than features names these inputs in `inputs` and receives them as
    keyword arguments of `forward`, in training only.

    Example:
        >>> class Doubled(Head):
        ...     def encode(self, clips):
        ...         return 2 * clips
        >>> import torch
        >>> support, query = torch.ones(1, 5, 1, 8, 4, 2, 2), torch.ones(1, 3, 8, 4, 2, 2)
        >>> Doubled()(support, query).query.unique()
        tensor([2.])
    """

    supplied = ("dim", "frames", "tail", "classes")

    inputs: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Inputs besides features: name of a module in `fsar_core.inputs` -> when it is needed.

    The condition maps parameters of this head to the values under which the input is needed, a
    tuple, or `True` for any value but 0, False and None. All must hold; an empty mapping means
    always. Example: `{"instance_masks": {"instance": True, "mask_weight": True}}`.
    """

    wraps_tail: ClassVar[bool] = False
    """Whether the head runs the backbone's tail itself, for example to put adapters between its blocks.

    Such a head takes a parameter `tail` instead of `dim` and keeps it as its attribute `tail`.
    """

    global_tokens: ClassVar[int] = 0
    """Entries for the whole clip that the head puts before the frames, on the same axis."""

    has_attention: ClassVar[bool] = False
    """Whether `attention(support, query)` returns attention weights, which figures can show."""

    predicts_masks: ClassVar[bool] = False
    """Whether the head predicts instance masks, which figures can show."""

    @property
    def relates(self) -> bool:
        """Whether clips of an episode interact, in `relate`."""
        return False

    @abstractmethod
    def encode(self, clips: Tensor) -> Tensor:
        """Encode each clip alone.

        Args:
            clips: [*clips frames dim height width], any leading axes.
        Returns:
            The encoded clips, with the same leading axes. The other axes are the head's own choice
            if it `relates`, else those of `HeadOutput`.
        """

    def relate(self, support: Tensor, query: Tensor) -> HeadOutput:
        """Relate the encoded clips of an episode to each other.

        Args:
            support: encoded clips, [batch way shot ...].
            query: encoded clips, [batch query ...].
        """
        return HeadOutput(support, query)

    def forward(self, support: GridSupport, query: GridQuery, **inputs: Tensor) -> HeadOutput:
        """Encode and relate an episode. Heads with losses of their own extend this.

        Args:
            support: [batch way shot frames dim height width]
            query: [batch query frames dim height width]
            inputs: what `inputs` names; ignored here.
        """
        return self.relate(self.encode(support), self.encode(query))


def check_episode(head: Head, support: Tensor, query: Tensor, **sizes: int) -> None:
    """Raise FsarError unless support and query are an episode of feature grids.

    Args:
        sizes: sizes that the head was built for: `dim`, `frames`.
    """
    axes = ("frames", "dim", "height", "width")
    sides = {"support": (support, "batch way shot"), "query": (query, "batch query")}
    for side, (features, leading) in sides.items():
        names = [*leading.split(), *axes]
        if features.ndim != len(names):
            raise FsarError(
                f"{head.name}: {side} must be [{' '.join(names)}], got {features.ndim} axes: {list(features.shape)}"
            )
        for axis, expected in sizes.items():
            size = features.shape[names.index(axis)]
            if size != expected:
                count = f"dim {size}" if axis == "dim" else f"{size} {axis}"
                raise FsarError(
                    f"{head.name}: {side} has {count}, the head was built for {expected}; use {axis}={size}"
                )
