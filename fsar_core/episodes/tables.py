"""Frozen episodes: drawn once, stored, and shared by every method, so that differences are paired.

A table is an .npz file (no pickle) with classes [episode way], support [episode way shot], query and labels
[episode way*query], all int64, the spec and class names as text, the identity of the clip index it was drawn from
(`data.index.index_identity`; absent in older tables), and the number of its format.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import trange

from fsar_core.episodes.sampler import Episode, Split, check, drawn
from fsar_core.errors import FsarError, mend
from fsar_core.specs import EpisodeSpec, difference
from fsar_core.storage.provenance import atomic_write, canonical_json, check_format, zip_damage

FORMAT = 1  # raised by hand when what a table holds changes


@dataclass(frozen=True)
class EpisodeTable:
    """A frozen table; `table[i]` is an `Episode`.

    Attributes:
        index: identity of the clip index it was drawn from; None where that is not recorded.
    """

    spec: EpisodeSpec
    class_names: tuple[str, ...]
    classes: np.ndarray
    support: np.ndarray
    query: np.ndarray
    labels: np.ndarray
    index: str | None = None

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> Episode:
        return Episode(
            self.classes[index], self.support[index], self.query[index], self.labels[index]
        )

    @property
    def rows(self) -> np.ndarray:
        """Every store row that some episode uses, ascending."""
        return np.unique(np.concatenate([self.support.reshape(-1), self.query.reshape(-1)]))

    @property
    def content(self) -> str:
        """SHA-256 of the episodes: spec, class names and every number."""
        total = hashlib.sha256(self.spec.json_text.encode())
        total.update(canonical_json(self.class_names).encode())
        for array in (self.classes, self.support, self.query, self.labels):
            total.update(np.ascontiguousarray(array, np.int64).tobytes())
        return total.hexdigest()


def draw(spec: EpisodeSpec, split: Split, index: str | None = None) -> EpisodeTable:
    """Draw all episodes of a spec. FsarError where a class has too few clips.

    Args:
        index: identity of the clip index that the split is from.
    """
    shape = spec.way, spec.shot, spec.query
    check(split, *shape, group_disjoint=spec.group_disjoint)
    numbers = trange(spec.count, desc=f"{spec.split} episodes", unit="episode", mininterval=1)
    episodes = [drawn(spec.seed, split, *shape, index, spec.group_disjoint) for index in numbers]
    return EpisodeTable(
        spec=spec,
        class_names=split.classes,
        classes=np.stack([e.classes for e in episodes]),
        support=np.stack([e.support for e in episodes]),
        query=np.stack([e.query for e in episodes]),
        labels=np.stack([e.labels for e in episodes]),
        index=index,
    )


def save(path: Path, table: EpisodeTable) -> None:
    """Write a table atomically; equal tables give equal bytes."""
    identity = {} if table.index is None else {"index": np.array(table.index)}
    with atomic_write(path, "wb") as stream:
        np.savez_compressed(
            stream,
            **identity,
            format=np.array(FORMAT),
            spec=np.array(table.spec.json_text),
            class_names=np.array(table.class_names),
            classes=table.classes,
            support=table.support,
            query=table.query,
            labels=table.labels,
        )


def load(path: Path, spec: EpisodeSpec | None = None) -> EpisodeTable:
    """Read a table; FsarError where it is missing, damaged or drawn by another spec."""
    try:
        if zip_damage(path):
            raise ValueError("checksum")
        with np.load(path, allow_pickle=False) as stored:
            check_format(int(stored["format"]) if "format" in stored else 1, FORMAT, path)
            found = EpisodeSpec.parse(str(stored["spec"]))
            arrays = {name: stored[name] for name in ("classes", "support", "query", "labels")}
            names = tuple(map(str, stored["class_names"]))
            index = str(stored["index"]) if "index" in stored else None
            table = EpisodeTable(spec=found, class_names=names, **arrays, index=index)
    except FileNotFoundError:
        raise FsarError(f"{path}: no such episode table; run snakemake to draw it") from None
    except FsarError:
        raise
    except Exception as error:  # zipfile.BadZipFile, ValueError, KeyError, zlib.error: whatever a damaged file gives
        raise FsarError(
            f"{path}: damaged episode table ({type(error).__name__}); {mend(path)}"
        ) from None
    if spec is not None:
        differs = difference(spec.model_dump(mode="json"), found.model_dump(mode="json"))
        if differs:
            raise FsarError(
                f"{path}: drawn by another spec: {differs}; remove it and run snakemake again"
            )
    return table
