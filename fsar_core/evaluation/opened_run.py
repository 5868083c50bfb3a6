"""A trained run with its stores opened, as inspections of figure kinds get it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fsar_core.data.index import index_identity, read_index
from fsar_core.episodes.loader import FeatureBank, FrameBank
from fsar_core.episodes.tables import EpisodeTable
from fsar_core.errors import FsarError
from fsar_core.models.assembly import OpenModel
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.runtime.devices import Machine
from fsar_core.specs import RunSpec
from fsar_core.storage.bindings import check_index
from fsar_core.storage.places import Place
from fsar_core.stores.reader import StoreReader


@dataclass(frozen=True)
class OpenedRun:
    """A trained model and the data that it was tested on.

    Attributes:
        trained: the model with its trained weights, and its features.
        table: the episodes to inspect.
        frames: reader of the frame store, for pictures.
        masks, index: the masks store and the clip index, where the figure kind reads masks.
    """

    spec: RunSpec
    trained: OpenModel
    table: EpisodeTable
    frames: StoreReader
    masks: Place | None = None
    index: Place | None = None

    @property
    def model(self) -> EpisodeModel:
        """The model with its trained weights."""
        return self.trained.model

    @property
    def machine(self) -> Machine:
        """Where the model computes."""
        return self.trained.machine

    @property
    def threads(self) -> int:
        """Threads that may read."""
        return self.trained.compute.threads

    def bank(self, rows: np.ndarray) -> FeatureBank:
        """Return the features of some clips."""
        return self.trained.bank(rows)

    @cached_property
    def pictures(self) -> FrameBank:
        """The frames of the episodes' clips, read clip by clip: a picture needs few of them."""
        crop = self.spec.tested_on.crop
        return FrameBank(
            self.frames, self.table.rows, memory_gib=0, threads=self.threads, crop=crop
        )

    def episode_bank(self, episodes: Sequence[int]) -> FeatureBank:
        """Return a bank of the features of all clips of some episodes."""
        sides = (self.table.support, self.table.query)
        return self.bank(np.concatenate([rows[list(episodes)].reshape(-1) for rows in sides]))

    def open_masks(self) -> tuple[pd.DataFrame, StoreReader]:
        """Return the clip index and the opened masks store.

        Raises:
            FsarError: the job was not given them, or they belong to other clips than the features.
        """
        if self.masks is None or self.index is None:
            raise FsarError("this kind of figure reads masks; expected --masks and --index")
        index = read_index(self.index)
        store = StoreReader(self.masks, "masks", self.spec.masks)
        check_index(self.index, index_identity(index), [self.trained.reader, self.frames, store])
        return index, store
