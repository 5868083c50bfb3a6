"""Episodes to tensors: rows of a store, in memory where they fit, else read clip by clip.

Features are taken as stored. Frames (the cut `frames`) are cropped, and in training augmented, whenever an episode uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fsar_core.data.augmentation import apply, cut_out, draw, live_draws, stored_draw
from fsar_core.episodes.sampler import Episode
from fsar_core.runtime.devices import room
from fsar_core.runtime.prefetch import prefetched
from fsar_core.specs import AugmentationSpec, FeatureSpec
from fsar_core.stores.reader import StoreReader


@dataclass
class EpisodeFeatures:
    """A batch of episodes as tensors.

    Attributes:
        support: float [batch way shot frames dim height width], of the dtype that is stored; uint8 with dim 3 at the cut `frames`
        query: [batch query frames dim height width]
        labels: int64 [batch query], episode-local
        aux: what a head is given beside them, by keyword; empty at test (see `TrainingBank`)
    """

    support: Tensor
    query: Tensor
    labels: Tensor
    aux: dict[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device, non_blocking: bool = True) -> EpisodeFeatures:
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> EpisodeFeatures:
        # What is expanded has to be written out: page-locked memory is laid out alike, and its places may not overlap.
        return self._each(lambda tensor: tensor if tensor.is_cuda else tensor.contiguous().pin_memory())

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
        self.reader, self.threads, self.views, self.memory_gib = reader, threads, reader.views, memory_gib
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
                raise KeyError(f"row {row}, view {view} is not among the rows that this bank was made for")
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
        support = self.clips(np.stack([e.support for e in episodes]), np.stack([v[0] for v in views]))
        query = self.clips(np.stack([e.query for e in episodes]), np.stack([v[1] for v in views]))
        return EpisodeFeatures(
            support=self.prepared(support, "support", seeds),
            query=self.prepared(query, "query", seeds),
            labels=torch.from_numpy(np.stack([e.labels for e in episodes])),
        )

    def prepared(self, clips: Tensor, side: Literal["support", "query"], seeds: list[int | None]) -> Tensor:
        """What the model is given of stored clips [batch ...]: here the same."""
        return clips


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

    @property
    def pass_bytes(self) -> int:
        """What a network's first layer makes of a clip: at half the side, 64 channels."""
        return 4 * self.reader.clip_shape[0] * 64 * (self.crop // 2) ** 2

    def prepared(self, clips: Tensor, side: Literal["support", "query"], seeds: list[int | None]) -> Tensor:
        """[batch *clips frames height width channels] to [batch *clips frames channels crop crop], both uint8."""
        flat = clips.reshape(len(clips), -1, *clips.shape[-4:])
        shape = flat.shape[1], clips.shape[-2], self.crop
        draws = [drawn for seed in seeds for drawn in live_draws(self.augmentation, side, seed, *shape)]
        with ThreadPoolExecutor(self.threads) as pool:
            done = list(pool.map(lambda clip, drawn: apply(clip, drawn, self.crop), flat.flatten(0, 1).numpy(), draws))
        return torch.stack(done).reshape(*clips.shape[:-3], 3, self.crop, self.crop)


class MaskBank(FeatureBank):
    """Instance masks of training clips, cut and mirrored as the frames behind their features were."""

    def __init__(self, *args, features: FeatureSpec, held_out: np.ndarray | None = None, **named) -> None:
        """
        Args:
            features: the store whose clips these are the masks of.
            held_out: rows whose masks are not told: they are NaN, which the loss of a head leaves out.
        """
        super().__init__(*args, **named)
        self.features, self.held_out = features, np.empty(0, np.int64) if held_out is None else held_out

    def of(self, episodes: Sequence[Episode]) -> dict[str, Tensor]:
        """support_masks float32 [batch way shot frames crop crop] and query_masks [batch query frames crop crop], in 0..1; NaN
        for clips that are held out."""
        found = {}
        for side in ("support", "query"):
            rows = np.stack([getattr(e, side) for e in episodes])
            views = np.stack([e.views[side == "query"] for e in episodes])
            clips = self.clips(rows, views)
            draws = self._draws(side, episodes, rows, views, clips.shape[-1])
            flat = clips.reshape(-1, *clips.shape[-3:])
            cut = torch.stack([cut_out(masks, drawn, self.features.crop) for masks, drawn in zip(flat, draws)])
            told = cut.reshape(*rows.shape, *cut.shape[1:]).float() / 255
            told[torch.from_numpy(np.isin(rows, self.held_out))] = torch.nan
            found[f"{side}_masks"] = told
        return found

    def of_test_view(self, rows: np.ndarray) -> Tensor:
        """float32 [rows frames crop crop] in 0..1, held out or not: the masks of the centre crop."""
        clips = self.clips(rows)
        return cut_out(clips, draw(None, clips.shape[-1], self.features.crop), self.features.crop).float() / 255

    def _draws(self, side, episodes, rows, views, size):
        spec = self.features
        if spec.cut != "frames":
            places = zip(rows.reshape(-1), views.reshape(-1))
            return [stored_draw(spec, row, int(view), size) for row, view in places]
        shape = rows[0].size, size, spec.crop
        return [drawn for e in episodes for drawn in live_draws(spec.augmentation, side, e.augmentation, *shape)]


class SaliencyBank(FeatureBank):
    """Actionness of the frames of training clips."""

    def of(self, episodes: Sequence[Episode]) -> dict[str, Tensor]:
        """support_saliency float32 [batch way shot frames] and query_saliency [batch query frames], of the views that an episode
        takes."""
        rows = {side: np.stack([getattr(e, side) for e in episodes]) for side in ("support", "query")}
        views = {side: np.stack([e.views[side == "query"] for e in episodes]) for side in rows}
        return {f"{side}_saliency": self.clips(rows[side], views[side]) for side in rows}


class TrainingBank:
    """What a head is given in training and at no other time: labels, training classes and, where it learns from them, masks
    or the actionness of frames."""

    def __init__(self, bank: FeatureBank, masks: MaskBank | None = None, saliency: SaliencyBank | None = None) -> None:
        self.bank, self.beside = bank, [part for part in (masks, saliency) if part is not None]

    def batch(self, episodes: Sequence[Episode]) -> EpisodeFeatures:
        """As `FeatureBank.batch`, with aux: labels int64 [batch query]; support_classes [batch way shot] and query_classes
        [batch query], ids of training classes; with masks those of `MaskBank.of`, with saliency that of `SaliencyBank.of`."""
        features = self.bank.batch(episodes)
        classes = torch.from_numpy(np.stack([e.classes for e in episodes]))
        aux = {
            "labels": features.labels,
            "support_classes": classes[..., None].expand(features.support.shape[:3]),
            "query_classes": classes.gather(1, features.labels),
        }
        for part in self.beside:
            aux |= part.of(episodes)
        return replace(features, aux=aux)


def batches(
    bank: FeatureBank | TrainingBank,
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
