"""Episodes to tensors: rows of a store, in memory where they fit, else read clip by clip.

Features are taken as stored. Frames (the cut `frames`) are cropped, and in training augmented, whenever an episode uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from fsar_core.data.augmentation import apply, live_draws
from fsar_core.episodes.sampler import Episode
from fsar_core.runtime.devices import room
from fsar_core.runtime.prefetch import prefetched
from fsar_core.specs import AugmentationSpec
from fsar_core.stores.reader import StoreReader


@dataclass
class EpisodeFeatures:
    """A batch of episodes as tensors.

    Attributes:
        support: float [batch way shot frames dim height width], of the dtype that is stored; uint8 with dim 3 at the cut `frames`
        query: [batch query frames dim height width]
        labels: int64 [batch query], episode-local
        aux: what a head is given besides them, by keyword (`fsar_core.inputs`)
    """

    support: Tensor
    query: Tensor
    labels: Tensor
    aux: dict[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device, non_blocking: bool = True) -> EpisodeFeatures:
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> EpisodeFeatures:
        # What is expanded has to be written out: page-locked memory is laid out alike, and its places may not overlap.
        return self._each(
            lambda tensor: tensor if tensor.is_cuda else tensor.contiguous().pin_memory()
        )

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        for tensor in (self.support, self.query, self.labels, *self.aux.values()):
            tensor.record_stream(stream)

    def _each(self, change: Callable[[Tensor], Tensor]) -> EpisodeFeatures:
        sides = map(change, (self.support, self.query, self.labels))
        return EpisodeFeatures(*sides, {name: change(tensor) for name, tensor in self.aux.items()})


class FeatureBank:
    """The rows of a feature store that a run touches.

    They are held in memory where `memory_gib` allows, on the GPU itself where they fit there as well; else every batch reads its
    own clips.
    """

    def __init__(
        self,
        reader: StoreReader,
        rows: np.ndarray,
        memory_gib: float,
        threads: int = 1,
        many_views: np.ndarray | None = None,
        device: torch.device | None = None,
    ) -> None:
        """
        Args:
            rows: of which view 0 is used.
            many_views: rows of which every stored view is used (training clips).
            device: where batches are wanted.
        """
        self.reader, self.threads, self.views, self.memory_gib = (
            reader,
            threads,
            reader.views,
            memory_gib,
        )
        extra = (
            np.unique(many_views)
            if many_views is not None and reader.views > 1
            else np.empty(0, np.int64)
        )
        wanted = [(np.unique(rows), 0), *((extra, view) for view in range(1, reader.views))]
        slots = np.concatenate([part * self.views + view for part, view in wanted])
        self.in_memory = reader.clip_bytes * len(slots) <= memory_gib * 2**30
        if self.in_memory:
            self._position = np.full(reader.clips * self.views, -1)
            self._position[slots] = np.arange(len(slots))
            parts = [reader.read(part, view, threads) for part, view in wanted if len(part)]
            # One view, the usual case, is held as it was read: joining would need the memory twice.
            self._held = torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts))
            on_gpu = device is not None and device.type == "cuda"
            if on_gpu and self._held.nbytes <= room(device, memory_gib):
                self._held = self._held.to(device)

    @property
    def pass_bytes(self) -> int:
        """What a clip takes at the beginning of a forward pass, in single precision."""
        return 4 * int(np.prod(self.reader.clip_shape))

    def clips(self, rows: np.ndarray, views: np.ndarray | None = None) -> Tensor:
        """[*rows.shape, *what is stored of a clip]; view 0 where no views are given."""
        slots = (rows * self.views + (0 if views is None else views)).reshape(-1)
        if self.in_memory:
            positions = self._position[slots]
            if (positions < 0).any():
                row, view = divmod(int(slots[positions.argmin()]), self.views)
                raise KeyError(
                    f"row {row}, view {view} is not among the rows that this bank was made for"
                )
            found = self._held.index_select(0, torch.from_numpy(positions).to(self._held.device))
        else:
            # Every clip once. Most episodes have none twice: then they are where they belong as they are read.
            unique, places = np.unique(slots, return_inverse=True)
            repeated = len(unique) < len(slots)
            rows_read, views_read = divmod(unique if repeated else slots, self.views)
            found = torch.from_numpy(self.reader.read(rows_read, views_read, max(self.threads, 4)))
            found = found[torch.from_numpy(places)] if repeated else found
        return found.reshape(*rows.shape, *found.shape[1:])

    def batch(self, episodes: Sequence[Episode]) -> EpisodeFeatures:
        """Episodes of one shape as tensors."""
        views = [e.views or (np.zeros_like(e.support), np.zeros_like(e.query)) for e in episodes]
        seeds = [e.augmentation for e in episodes]
        support = self.clips(
            np.stack([e.support for e in episodes]), np.stack([v[0] for v in views])
        )
        query = self.clips(np.stack([e.query for e in episodes]), np.stack([v[1] for v in views]))
        return EpisodeFeatures(
            support=self.prepared(support, "support", seeds),
            query=self.prepared(query, "query", seeds),
            labels=torch.from_numpy(np.stack([e.labels for e in episodes])),
        )

    def prepared(
        self, clips: Tensor, side: Literal["support", "query"], seeds: list[int | None]
    ) -> Tensor:
        """What the model is given of stored clips [batch ...]: here the same."""
        return clips


class FrameBank(FeatureBank):
    """The rows of a frame store that a run touches: uint8 clips, cropped and augmented one by one."""

    def __init__(
        self, *args, crop: int, augmentation: AugmentationSpec | None = None, **named
    ) -> None:
        """
        Args:
            crop: pixels of the square that the backbone sees.
            augmentation: of episodes that carry a seed for it (training); all others get the centre crop.
        """
        super().__init__(*args, **named)
        self.crop, self.augmentation = crop, augmentation

    @property
    def pass_bytes(self) -> int:
        """What a network's first layer makes of a clip: at half the side, 64 channels."""
        return 4 * self.reader.clip_shape[0] * 64 * (self.crop // 2) ** 2

    def prepared(
        self, clips: Tensor, side: Literal["support", "query"], seeds: list[int | None]
    ) -> Tensor:
        """[batch *clips frames height width channels] to [batch *clips frames channels crop crop], both uint8."""
        flat = clips.reshape(len(clips), -1, *clips.shape[-4:])
        shape = flat.shape[1], clips.shape[-2], self.crop
        draws = [
            drawn for seed in seeds for drawn in live_draws(self.augmentation, side, seed, *shape)
        ]
        with ThreadPoolExecutor(self.threads) as pool:
            done = list(
                pool.map(
                    lambda clip, drawn: apply(clip, drawn, self.crop),
                    flat.flatten(0, 1).numpy(),
                    draws,
                )
            )
        return torch.stack(done).reshape(*clips.shape[:-3], 3, self.crop, self.crop)


class Bank(Protocol):
    """What gives episodes as tensors."""

    def batch(self, episodes: Sequence[Episode]) -> EpisodeFeatures:
        """Return episodes of one shape as tensors."""


def batches(
    bank: Bank,
    episodes: Sequence[Episode] | Iterator[Episode],
    size: int,
    device: torch.device | None = None,
) -> Iterator[EpisodeFeatures]:
    """Batches of `size` episodes in order, on the device, the next one being read while the caller computes."""

    def groups() -> Iterator[list[Episode]]:
        group: list[Episode] = []
        for episode in episodes:
            group.append(episode)
            if len(group) == size:
                yield group
                group = []
        if group:
            yield group

    return prefetched(bank.batch, groups(), device)
