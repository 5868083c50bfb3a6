"""Read a sealed store.

A store is refused without a manifest, with another spec, with a shard file of another size or with
Zarr metadata other than those that were sealed. The bytes of a clip are checked when it is read, by
the checksums inside the shard files and those that the manifest recorded. While a reader is open,
nobody unseals the store (`fsar_core.stores.access`).
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fsar_core.errors import FsarError, first_line, mend
from fsar_core.specs import StoreSpec, difference
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place
from fsar_core.stores import access, jpeg
from fsar_core.stores.layout import FILE_CLIPS, Files, open_arrays, shard_file
from fsar_core.stores.manifest import check_files, check_metadata, read_manifest
from fsar_core.stores.shards import ShardFiles


class StoreReader:
    """One array of a sealed store, which does not change until the reader is closed.

    A reader that is garbage-collected is closed.

    Attributes:
        clips, views: rows and views of the array.
        clip_shape: of one clip and view.
        failed: rows that hold nothing.
        content: digest of all shard files.
        inputs: what the store was made from, by name; `index` is the identity of its clip index.
            Empty for a store that was sealed before manifests recorded it.
    """

    def __init__(self, store: Place, array: str, spec: StoreSpec | None = None) -> None:
        """Open a store.

        Args:
            array: name of the array, for example `features`.
            spec: what the caller expects.
        Raises:
            FsarError: the store is not sealed, is damaged, or differs from the spec; the message
                names the first field that differs.
        """
        self.store = store
        # Before the manifest is read: from here on it does not change.
        self._access = access.shared(self.store)
        try:
            self._open(array, spec)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others rebuild or remove the store. The reader must not be used any more."""
        self._access.close()

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, array: str, spec: StoreSpec | None) -> None:
        manifest = read_manifest(self.store)
        if spec is not None:
            found = manifest["spec"]
            # A field added after the store was made has its default.
            with contextlib.suppress(ValueError):
                found = type(spec).model_validate(found).model_dump(mode="json")
            differs = difference(spec.model_dump(mode="json"), found)
            if differs:
                raise FsarError(
                    f"{self.store}: built by another spec: {differs}; build the store of this spec "
                    f"with snakemake"
                )
        check_files(self.store, manifest["files"])
        check_metadata(self.store, manifest)
        self.spec = manifest["spec"]
        self.content = manifest["content"]
        self.inputs = manifest.get("inputs", {})
        self.failed = frozenset(entry["row"] for entry in manifest["failures"])
        self._jpeg = array == "frames" and self.spec.get("compression") == "jpeg"
        self._name = "jpeg" if self._jpeg else array
        self._array = open_arrays(self.store, [self._name])[self._name]
        self._files: Files = manifest["files"]
        self._shards = self._in_shards()
        self.clips, self.views, *self._stored_shape = self._array.shape
        self.clip_shape = self._stored_shape
        if self._jpeg:
            self.clip_shape = [self.spec["count"], self.spec["size"], self.spec["size"], 3]
        self.dtype = self._array.dtype
        # Of the last reading by several threads.
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    @property
    def clip_bytes(self) -> int:
        """Bytes of one clip and view, uncompressed."""
        return int(np.prod(self.clip_shape)) * self.dtype.itemsize

    def read(self, rows: np.ndarray, view: int | np.ndarray = 0, threads: int = 1) -> np.ndarray:
        """Return the clips of some rows, [len(rows) ...].

        Args:
            view: of all rows, or one for each row.
            threads: that read at a time.
        Raises:
            FsarError: a clip has failed, or its chunk is damaged.
        """
        out = np.empty((len(rows), *self.clip_shape), self.dtype)
        places = list(zip(rows.tolist(), np.broadcast_to(view, len(rows)).tolist(), out))

        def fill(part: list) -> None:
            for clip in part:
                self._fill(*clip)

        if isinstance(self.store, ObjectPath) and self._shards is not None:
            self._fill_by_requests(places)
        elif threads > 1:
            if self._pool is None or self._pool[0] != threads:
                self._pool = threads, ThreadPoolExecutor(threads)
            list(self._pool[1].map(fill, [places[first::threads] for first in range(threads)]))
        else:
            fill(places)
        return out

    def read_clip(self, row: int, view: int = 0) -> np.ndarray:
        """Return one clip and view; raise FsarError for a failed clip or a damaged chunk."""
        out = np.empty(self.clip_shape, self.dtype)
        self._fill(row, view, out)
        return out

    def _in_shards(self) -> ShardFiles | None:
        if not isinstance(self.store, ObjectPath):
            return ShardFiles.of(self.store, self._name, self._array, self._files)
        from fsar_core.stores.objects import ShardObjects

        return ShardObjects.of(self.store, self._name, self._array, self._files)

    def _fill_by_requests(self, places: list) -> None:
        """Read clips of a bucket by many requests at a time, whatever the number of threads."""
        for row, view, _ in places:
            self._check(row, view)
        # A row of JPEG files is as long as its frames: not all are held beside them.
        step = 2 * FILE_CLIPS if self._jpeg else max(len(places), 1)
        for start in range(0, len(places), step):
            part = places[start : start + step]
            stored = [(row, view, self._buffer(out)) for row, view, out in part]
            for row, view, error in self._shards.fill(stored):
                raise self._damaged(row, view, error)
            for (row, view, out), (_, _, packed) in zip(part, stored if self._jpeg else ()):
                try:
                    jpeg.decode(packed, out)
                except Exception as error:
                    raise self._damaged(row, view, error) from None

    def _buffer(self, out: np.ndarray) -> np.ndarray:
        return np.empty(self._stored_shape, self.dtype) if self._jpeg else out

    def _check(self, row: int, view: int) -> None:
        if not (0 <= row < self.clips and 0 <= view < self.views):
            raise FsarError(
                f"{self.store}: no row {row} view {view}; it holds the rows 0..{self.clips - 1} "
                f"and the views 0..{self.views - 1}; were the episodes drawn from another data set?"
            )
        if row in self.failed:
            raise FsarError(
                f"{self.store}: row {row} failed when the store was built and cannot be read"
            )

    def _fill(self, row: int, view: int, out: np.ndarray) -> None:
        self._check(row, view)
        try:
            stored = self._buffer(out)
            if self._shards is not None:
                self._shards.read(row, view, stored)
            else:
                self._read_with_zarr(row, view, stored)
            if self._jpeg:
                jpeg.decode(stored, out)
        except FsarError:  # a bucket that cannot be reached
            raise
        # Codecs raise ValueError, RuntimeError or their own kinds on damaged bytes.
        except Exception as error:
            raise self._damaged(row, view, error) from None

    def _read_with_zarr(self, row: int, view: int, out: np.ndarray) -> None:
        """Read a clip of an array that only Zarr can decode; it reads a missing file as zeros."""
        out[...] = self._array[row, view]
        key = shard_file(self._name, row, view, len(self._stored_shape))
        if key in self._files and not (self.store / key).is_file():
            raise ValueError("its shard is missing")

    def _damaged(self, row: int, view: int, error: Exception) -> FsarError:
        reason = first_line(error)
        return FsarError(
            f"{self.store}: array '{self._name}' row {row} is damaged ({reason}), in "
            f"{shard_file(self._name, row, view, len(self._stored_shape))}; {mend(self.store)}"
        )
