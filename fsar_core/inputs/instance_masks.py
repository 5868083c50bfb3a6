"""Soft masks of the acting instances in training clips, `support_masks` and `query_masks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fsar_core.inputs.base import Input, Planner, StoreSource, rows_and_views
from fsar_core.specs import FeatureSpec, MaskSpec, ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from fsar_core.data.augmentation import Draw
    from fsar_core.episodes.sampler import Episode
    from fsar_core.storage.bindings import SealedStore
    from fsar_core.storage.places import Place


class InstanceMasks(Input):
    """Read from a masks store. The masks of a share of the clips are kept back for comparisons."""

    alias = "masks"

    def plan(self, study: Planner, dataset: str, setup: str | None, count: int | None) -> MaskSpec:
        return study.masks_of(dataset, count)

    def model_fields(self, study: Planner, spec: MaskSpec) -> dict[str, Any]:
        return {"masks": spec, "masks_held_out": study.preset.masks.held_out}

    def check(self, study: Planner, spec: MaskSpec) -> None:
        study.check_masks(spec)

    def open(
        self,
        path: Place | None,
        spec: MaskSpec,
        model: ModelSpec,
        index: pd.DataFrame | None = None,
    ) -> MaskSource:
        from fsar_core.data.held_out import held_out
        from fsar_core.stores.reader import StoreReader

        reader = StoreReader(path, "masks", spec)
        kept_back = held_out(index, model.masks_held_out, model.seed)
        return MaskSource(reader, model.features, kept_back)


class MaskSource(StoreSource):
    """Masks of training clips, cropped and mirrored as the frames behind their features were."""

    def __init__(
        self, reader: SealedStore, features: FeatureSpec, held_out: np.ndarray | None = None
    ) -> None:
        """
        Args:
            reader: of the masks store.
            features: the store whose clips these are the masks of.
            held_out: rows whose masks are kept back: NaN, which the loss of a head ignores.
        """
        super().__init__("masks", reader)
        self.features = features
        self.held_out = np.empty(0, np.int64) if held_out is None else held_out

    def batch(self, episodes: Sequence[Episode]) -> dict[str, Tensor]:
        """Return float32 masks in 0..1, NaN for clips that are held out.

        `support_masks` is [batch way shot frames crop crop], `query_masks` [batch query frames crop
        crop].
        """
        import torch

        from fsar_core.data.augmentation import cut_out

        masks = {}
        for side in ("support", "query"):
            rows, views = rows_and_views(episodes, side)
            clips = self.bank.clips(rows, views)
            draws = self._draws(side, episodes, rows, views, clips.shape[-1])
            flat = clips.reshape(-1, *clips.shape[-3:])
            crop = self.features.crop
            cut = [cut_out(clip, draw, crop) for clip, draw in zip(flat, draws, strict=True)]
            shown = torch.stack(cut).reshape(*rows.shape, *cut[0].shape).float() / 255
            shown[torch.from_numpy(np.isin(rows, self.held_out))] = torch.nan
            masks[f"{side}_masks"] = shown
        return masks

    def of_test_view(self, rows: np.ndarray) -> Tensor:
        """Return the masks of the center crop, held out or not.

        They are float32 [rows frames crop crop] in 0..1.
        """
        from fsar_core.data.augmentation import cut_out, draw

        clips, crop = self.bank.clips(rows), self.features.crop
        return cut_out(clips, draw(None, clips.shape[-1], crop), crop).float() / 255

    def _draws(
        self,
        side: str,
        episodes: Sequence[Episode],
        rows: np.ndarray,
        views: np.ndarray,
        size: int,
    ) -> list[Draw]:
        """Return how each clip was cropped and mirrored, in the order of `rows`."""
        from fsar_core.data.augmentation import live_draws, stored_draw

        spec = self.features
        if spec.cut != "frames":
            places = zip(rows.reshape(-1), views.reshape(-1), strict=True)
            return [stored_draw(spec, row, int(view), size) for row, view in places]
        shape = rows[0].size, size, spec.crop
        draws = []
        for episode in episodes:
            draws += live_draws(spec.augmentation, side, episode.augmentation, *shape)
        return draws
