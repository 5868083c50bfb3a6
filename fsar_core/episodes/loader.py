"""Episodes to tensors: rows of a store, in memory where they fit, else read clip by clip.

Features are taken as stored. Frames (the cut `frames`) are cropped, and in training augmented, whenever an episode uses them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fsar_core.data.augmentation import apply, draw
from fsar_core.episodes.sampler import Episode
from fsar_core.seeding import rng
from fsar_core.specs import AugmentationSpec
from fsar_core.stores.reader import StoreReader


@dataclass
class EpisodeFeatures:
    """A batch of episodes as tensors.

    Attributes:
        support: float [batch way shot frames dim height width]; uint8 with dim 3 at the cut `frames`
        query: [batch query frames dim height width]
        labels: int64 [batch query], episode-local
    """

    support: Tensor
    query: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> EpisodeFeatures:
        moved = (t.to(device, non_blocking=True) for t in (self.support, self.query, self.labels))
        return EpisodeFeatures(*moved)


class FeatureBank:
    """The rows of a feature store that a run touches.

    They are held in memory where `memory_gib` allows, else every batch reads its own clips.
    """

    def __init__(
        self,
        reader: StoreReader,
        rows: np.ndarray,
        memory_gib: float,
        threads: int = 1,
        many_views: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            rows: of which view 0 is used.
            many_views: rows of which every stored view is used (training clips).
        """
        self.reader, self.threads, self.views = reader, threads, reader.views
        extra = np.unique(many_views) if many_views is not None and reader.views > 1 else np.empty(0, np.int64)
        wanted = [(np.unique(rows), 0), *((extra, view) for view in range(1, reader.views))]
        slots = np.concatenate([part * self.views + view for part, view in wanted])
        self.in_memory = reader.clip_bytes * len(slots) <= memory_gib * 2**30
        if self.in_memory:
            self._position = np.full(reader.clips * self.views, -1)
            self._position[slots] = np.arange(len(slots))
            parts = [reader.read(part, view, threads) for part, view in wanted if len(part)]
            # One view, the usual case, is held as it was read: joining would need the memory twice.
            self._held = torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def clips(self, rows: np.ndarray, views: np.ndarray | None = None) -> Tensor:
        """[*rows.shape, *what is stored of a clip]; view 0 where no views are given."""
        slots = (rows * self.views + (0 if views is None else views)).reshape(-1)
        if self.in_memory:
            positions = self._position[slots]
            if (positions < 0).any():
                row, view = divmod(int(slots[positions.argmin()]), self.views)
                raise KeyError(f"row {row}, view {view} is not among the rows that this bank was made for")
            found = self._held[torch.from_numpy(positions)]
        else:
            unique, inverse = np.unique(slots, return_inverse=True)
            with ThreadPoolExecutor(max(self.threads, 4)) as pool:
                read = list(pool.map(lambda slot: self.reader.read_clip(*divmod(int(slot), self.views)), unique))
            found = torch.from_numpy(np.stack(read)[inverse])
        return found.reshape(*rows.shape, *found.shape[1:])

    def batch(self, episodes: Sequence[Episode]) -> EpisodeFeatures:
        """Episodes of one shape as tensors."""
        views = [e.views or (np.zeros_like(e.support), np.zeros_like(e.query)) for e in episodes]
        seeds = [e.augmentation for e in episodes]
        support = self.clips(np.stack([e.support for e in episodes]), np.stack([v[0] for v in views]))
        query = self.clips(np.stack([e.query for e in episodes]), np.stack([v[1] for v in views]))
        return EpisodeFeatures(
            support=self.prepared(support, "support", seeds),
            query=self.prepared(query, "query", seeds),
            labels=torch.from_numpy(np.stack([e.labels for e in episodes])),
        )

    def prepared(self, clips: Tensor, side: Literal["support", "query"], seeds: list[int | None]) -> Tensor:
        """What the model is given of stored clips [batch ...]: here float32."""
        return clips.float()


class FrameBank(FeatureBank):
    """The rows of a frame store that a run touches: uint8 clips, cropped and augmented one by one."""

    def __init__(self, *args, crop: int, augmentation: AugmentationSpec | None = None, **named) -> None:
        """
        Args:
            crop: pixels of the square that the backbone sees.
            augmentation: of episodes that carry a seed for it (training); all others get the centre crop.
        """
        super().__init__(*args, **named)
        self.crop, self.augmentation = crop, augmentation

    def prepared(self, clips: Tensor, side: Literal["support", "query"], seeds: list[int | None]) -> Tensor:
        """[batch *clips frames height width channels] to [batch *clips frames channels crop crop], both uint8."""
        size, policy = clips.shape[-2], self.augmentation and getattr(self.augmentation, side)
        flat = clips.reshape(len(clips), -1, *clips.shape[-4:])
        draws = []
        for seed in seeds:
            random = None if seed is None else rng(seed, "augmentation", side)
            draws += [draw(policy if random else None, size, self.crop, random) for _ in range(flat.shape[1])]
        with ThreadPoolExecutor(self.threads) as pool:
            done = list(pool.map(lambda clip, drawn: apply(clip, drawn, self.crop), flat.flatten(0, 1).numpy(), draws))
        return torch.stack(done).reshape(*clips.shape[:-3], 3, self.crop, self.crop)


def batches(bank: FeatureBank, episodes: Sequence[Episode] | Iterator[Episode], size: int) -> Iterator[EpisodeFeatures]:
    """Batches of `size` episodes in order, the next one being read while the caller computes."""

    def groups() -> Iterator[list[Episode]]:
        group: list[Episode] = []
        for episode in episodes:
            group.append(episode)
            if len(group) == size:
                yield group
                group = []
        if group:
            yield group

    with ThreadPoolExecutor(1) as reader:
        waiting = None
        for group in groups():
            coming = reader.submit(bank.batch, group)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
