"""Look into a trained run for a figure, from files to files: what `fsar inspect` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import model_validator

from fsar_core import inputs
from fsar_core.data.index import index_identity, read_index
from fsar_core.episodes import tables
from fsar_core.episodes.loader import FeatureBank, FrameBank
from fsar_core.errors import FsarError
from fsar_core.evaluation import arrays, gradcam, inspection, mask_quality
from fsar_core.inputs.instance_masks import MaskSource
from fsar_core.models.assembly import OpenModel
from fsar_core.specs import EpisodeSpec, RunSpec, Spec
from fsar_core.storage.bindings import check_episodes, check_index
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import canonical_json
from fsar_core.stores.reader import StoreReader

Arrays = dict[str, np.ndarray]


class Example(NamedTuple):
    """A query of an episode, by their numbers."""

    episode: int
    query: int


class Wanted(Spec):
    """What is taken out of a run; one of `attention`, `cam`, `masks` and `embedding` is given."""

    attention: tuple[Example, ...] | None = None  # queries whose attention is shown
    grid: int | None = None  # with attention: places a side of the maps
    episodes: int | None = None  # with attention: over how many it is counted
    cam: tuple[Example, ...] | None = None  # queries whose Grad-CAM is shown
    evidence: int = 0  # with cam: over how many episodes it is counted
    masks: int | None = None  # clips whose predicted masks are shown
    clips: int | None = None  # with masks: how many are measured at most
    embedding: bool = False  # what the metric is given of all clips

    @model_validator(mode="after")
    def _one_of_them(self) -> Wanted:
        given = [self.attention is not None, self.cam is not None, self.masks is not None]
        if sum([*given, self.embedding]) != 1:
            raise ValueError("expected one of attention, cam, masks and embedding")
        if self.attention is not None and None in (self.grid, self.episodes):
            raise ValueError("attention also needs `grid` and `episodes`")
        if self.masks is not None and self.clips is None:
            raise ValueError("masks also need `clips`")
        return self


@dataclass(frozen=True)
class Files:
    """What a run is looked into with.

    Attributes:
        episodes: frozen episodes.
        checkpoint: of the trained model.
        frames: the frame store, for pictures.
        masks: the masks store, for masks.
        index: the clip index, for masks.
    """

    episodes: Path
    checkpoint: Path
    frames: Place
    masks: Place | None = None
    index: Place | None = None


def inspect_run(
    spec: RunSpec,
    opened: OpenModel,
    episodes: EpisodeSpec,
    files: Files,
    wanted: Wanted,
    out: Path,
) -> Arrays:
    """Take what is wanted out of a run, write it as .npz and return it.

    Args:
        opened: the run's model, on the features that it is tested on.
        episodes: spec of the frozen episodes.
    Raises:
        FsarError: files are missing, damaged or do not belong together.
    """
    if inputs.of_test(spec):
        names = ", ".join(each.key for each in inputs.of_test(spec))
        raise FsarError(
            f"{spec.run_id}: its head receives {names} in tests, which figures of this kind do not "
            f"show; choose a row with another head"
        )
    bindings = opened.load(files.checkpoint, spec)
    table = tables.load(files.episodes, episodes)
    frames = StoreReader(files.frames, "frames", spec.tested_on.frames)
    for reader in (opened.reader, frames):
        check_episodes(files.episodes, table.index, reader.store, reader.inputs)
    run = _Run(spec, opened, table, frames)
    if wanted.attention is not None:
        found = run.attention(wanted.attention, wanted.grid, wanted.episodes)
    elif wanted.cam is not None:
        found = run.class_activations(wanted.cam, wanted.evidence)
    elif wanted.masks is not None:
        found = run.masks(files, wanted.masks, wanted.clips)
    else:
        found = run.embeddings()
    found |= {
        "inputs": np.array(canonical_json({**bindings, "episodes": table.content})),
        "run": np.array(spec.run_id),
        "dataset": np.array(spec.tested_on.dataset),
        "shot": np.array(table.spec.shot),
    }
    arrays.save(out, found)
    return found


@dataclass(frozen=True)
class _Run:
    """A run with loaded weights, the episodes that are looked at, and the frames of their clips."""

    spec: RunSpec
    opened: OpenModel
    table: tables.EpisodeTable
    frames: StoreReader

    @property
    def _pictures(self) -> FrameBank:
        # Read clip by clip: a picture needs few of them.
        threads, crop = self.opened.compute.threads, self.spec.tested_on.crop
        return FrameBank(self.frames, self.table.rows, memory_gib=0, threads=threads, crop=crop)

    def _features(self, examples: Sequence[Example], counted: int) -> FeatureBank:
        """Return the features of all clips of the examples' episodes and of the first ones."""
        episodes = [*(example.episode for example in examples), *range(counted)]
        sides = (self.table.support, self.table.query)
        return self.opened.bank(np.concatenate([side[episodes].reshape(-1) for side in sides]))

    def attention(self, examples: Sequence[Example], grid: int, episodes: int) -> Arrays:
        model, machine, table = self.opened.model, self.opened.machine, self.table
        counted = min(episodes, len(table))
        bank = self._features(examples, counted)
        found = inspection.attention(model, bank, self._pictures, table, examples, grid, machine)
        right = inspection.attention_on_the_right_class(model, bank, table, counted, machine)
        return {**found, "right_class": right}

    def class_activations(self, examples: Sequence[Example], evidence: int) -> Arrays:
        model, machine, table = self.opened.model, self.opened.machine, self.table
        counted = min(evidence, len(table))
        bank = self._features(examples, counted)
        found = gradcam.class_activations(model, bank, self._pictures, table, examples, machine)
        if counted:
            found |= gradcam.evidence(model, bank, table, counted, machine)
        return found

    def masks(self, files: Files, shown: int, clips: int) -> Arrays:
        spec, opened = self.spec, self.opened
        index = read_index(files.index)
        store = StoreReader(files.masks, "masks", spec.masks)
        check_index(files.index, index_identity(index), [opened.reader, self.frames, store])
        failed = opened.reader.failed | store.failed
        rows = mask_quality.choose(index, failed, spec.masks_held_out, spec.seed, clips)
        threads = opened.compute.threads
        masks = MaskSource(store, spec.features).load(rows[1], memory_gib=0, threads=threads)
        bank = opened.bank(np.concatenate(rows))
        found = mask_quality.mask_quality(
            opened.model, bank, masks, self._pictures, *rows, shown, opened.machine
        )
        found["classes"] = index["class"].to_numpy(str)[rows[0]]
        found["provider"] = np.array(spec.masks.provider.name)
        return found

    def embeddings(self) -> Arrays:
        bank = self.opened.bank(self.table.rows)
        return inspection.embeddings(self.opened.model, bank, self.table, self.opened.machine)
