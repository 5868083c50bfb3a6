"""Shards that are objects of a bucket: read by ranges, and summed up while they are written."""

from __future__ import annotations

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import WrapperStore

from fsar_core.storage.object_paths import ObjectPath
from fsar_core.stores.layout import FILE_CLIPS, Files, shard_file
from fsar_core.stores.shards import (
    ABSENT,
    INDEX,
    SUM,
    ShardFiles,
    check_recorded,
    check_sum,
    clip_sums,
)

IN_FLIGHT = 8  # requests at a time: an object store answers late, but many at once
CLIPS = 16  # of a shard by one request: what is under way has to be held in memory


class SummedStore(WrapperStore[Store]):
    """Zarr's view of a bucket, which records every shard that is put.

    It records bytes, SHA-256 and the checksums of the clips.
    """

    def __init__(self, path: ObjectPath, sums: Files, store: Store | None = None) -> None:
        super().__init__(path.zarr_store() if store is None else store)
        self._path, self._sums = path, sums

    def _with_store(self, store: Store) -> SummedStore:
        return type(self)(self._path, self._sums, store)

    async def set(self, key: str, value: Buffer) -> None:
        await super().set(key, value)
        if not key.endswith("zarr.json"):
            data = value.to_bytes()
            told = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            clips = clip_sums(data)
            if clips is not None:
                told["clips"] = clips
            self._sums[f"{self._path.name}/{key}"] = told


class ShardObjects(ShardFiles):
    """The clips of one array whose shards are objects. Every chunk is checked every time.

    The index of a shard is read once, and again if a chunk does not match it: the shard may have
    been repaired.
    """

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self._indices: dict[tuple[int, int], np.ndarray | None] = {}
        self._pool = ThreadPoolExecutor(IN_FLIGHT)

    def fill(self, places: list[tuple[int, int, np.ndarray]]) -> list[tuple[int, int, Exception]]:
        """Fill every `out` of (row, view, out) with its clip, several shards at a time.

        Raises:
            FsarError: the object store cannot be reached.
        """
        shards: dict[tuple[int, int], list] = {}
        for row, view, out in places:
            shards.setdefault((row // FILE_CLIPS, view), []).append((row, view, out))
        list(
            self._pool.map(self._know, shards)
        )  # first: parts of one shard would ask for it several times
        parts = [
            part[first : first + CLIPS]
            for part in shards.values()
            for first in range(0, len(part), CLIPS)
        ]
        return [fault for faults in self._pool.map(self._fill, parts) for fault in faults]

    def _know(self, shard: tuple[int, int]) -> None:
        with contextlib.suppress(OSError, ValueError):  # told of the clips
            self._index(shard)

    def read(self, row: int, view: int, out: np.ndarray) -> None:
        for *_, error in self._fill([(row, view, out)]):
            raise error

    def _fill(self, part: list, again: bool = False) -> list[tuple[int, int, Exception]]:
        """Clips of one shard."""
        row, view, _ = part[0]
        shard = row // FILE_CLIPS, view
        try:
            found = self._chunks(self._index(shard), self._path(shard), part)
            key = self._key(shard)
        except (OSError, ValueError) as error:
            faults = [(row, view, error)]
        else:
            faults = []
            for (row, view, out), chunk in zip(part, found):
                try:
                    self._decode(chunk, out, self._recorded(key, row))
                except (
                    Exception
                ) as error:  # codecs raise ValueError, RuntimeError or their own kinds
                    faults.append((row, view, error))
        if not faults or again:
            return faults
        self._indices.pop(shard, None)
        return self._fill(part, again=True)

    def _key(self, shard: tuple[int, int]) -> str:
        number, view = shard
        return shard_file(self.name, number * FILE_CLIPS, view, len(self.clip_shape))

    def _path(self, shard: tuple[int, int]) -> ObjectPath:
        return self.store / self._key(shard)

    def _index(self, shard: tuple[int, int]) -> np.ndarray | None:
        """Return the index of a shard, uint64 [FILE_CLIPS 2]: offset and bytes.

        It is None if there is no object, which means zeros.
        """
        if self._is_zeros(self._key(shard)):
            return None
        if shard not in self._indices:
            try:
                data, size = self._path(shard).last(INDEX)
            except FileNotFoundError:
                self._check_absence(self._key(shard))
                self._indices[shard] = None
                return None
            stored = np.frombuffer(data, np.uint8)
            if len(stored) != INDEX:
                raise ValueError(f"an object of {size} bytes")
            check_sum(stored[:-SUM], stored[-SUM:])
            index = stored[:-SUM].view("<u8").reshape(-1, 2)
            there = (index != ABSENT).any(axis=1)
            # In two steps: a sum of damaged numbers might wrap around.
            if (
                (index[there] > size).any()
                or (index[there].sum(axis=1) > size).any()
                or (index[there, 1] < SUM).any()
            ):
                raise ValueError(f"an index beyond the {size} bytes of the object")
            self._indices[shard] = index
        return self._indices[shard]

    def _chunks(
        self, index: np.ndarray | None, path: ObjectPath, part: list
    ) -> list[np.ndarray | None]:
        """The stored bytes of clips of a shard; None of those that are nothing but zeros."""
        found: list[np.ndarray | None] = [None] * len(part)
        if index is None:
            return found
        spans = index[[row % FILE_CLIPS for row, *_ in part]]
        there = np.flatnonzero((spans != ABSENT).any(axis=1))
        if len(there):
            starts = spans[there, 0]
            chunks = path.ranges(starts.tolist(), (starts + spans[there, 1]).tolist())
            for position, chunk in zip(there, chunks):
                found[position] = np.frombuffer(chunk, np.uint8)
        return found

    def _decode(self, chunk: np.ndarray | None, out: np.ndarray, recorded: str | None) -> None:
        check_recorded(None if chunk is None else chunk[-SUM:], recorded)
        if chunk is None:
            out[...] = 0
            return
        values = out.reshape(-1).view(np.uint8)
        check_sum(chunk[:-SUM], chunk[-SUM:])
        if self._zstd is not None:
            self._zstd.decode(chunk[:-SUM], values)
        elif len(chunk) != values.nbytes + SUM:
            raise ValueError(f"{len(chunk)} bytes stored, expected {values.nbytes + SUM}")
        else:
            values[...] = chunk[:-SUM]
