"""Shard files: single clips read straight into the caller's memory, and whole files written.

What is read and written is Zarr v3 as `layout.create_arrays` has Zarr write it: the chunks of a file (a clip and view each) one
behind the other, at the end an index of where they lie (two uint64 a chunk: offset and bytes; all ones: none) and its crc32c;
every chunk has its own crc32c behind it. Zarr itself does the same through event loop, codec pipeline and a copy each:
benchmarks/README.md has the figures. Arrays of any other make are left to it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd

from fsar_core.places import Place, place
from fsar_core.provenance import atomic_write
from fsar_core.stores.layout import FILE_CLIPS, ZSTD_LEVEL, shard_file

if TYPE_CHECKING:
    import zarr

SUM = 4  # bytes of a crc32c
ABSENT = 2**64 - 1
INDEX = FILE_CLIPS * 16 + SUM


class ShardFiles:
    """The clips of one array.

    A chunk that is stored as it is, uncompressed, is checked when it is read first, and again when its file has changed: its
    checksum takes longer than its reading. Compressed ones are checked every time.
    """

    def __init__(self, store: Place, name: str, array: zarr.Array, compressed: bool) -> None:
        self.store, self.name = place(store), name
        self.clip_shape, self.dtype = array.shape[2:], array.dtype
        self._zstd = Zstd(level=ZSTD_LEVEL) if compressed else None
        self._checked: dict[tuple[int, int], tuple[int, ...]] = {}

    @classmethod
    def of(cls, store: Place, name: str, array: zarr.Array) -> ShardFiles | None:
        """None for an array that is not written as this project's are, or on a machine of the other byte order."""
        metadata = array.metadata.to_dict()
        codecs = [codec["name"] for codec in metadata["codecs"]]
        if sys.byteorder != "little" or codecs != ["sharding_indexed"]:
            return None
        inner = metadata["codecs"][0]["configuration"]
        clip = (1, 1, *array.shape[2:])
        expected = {
            "chunk_shape": clip,
            "index_location": "end",
            "codecs": [("bytes", "zstd", "crc32c"), ("bytes", "crc32c")],
            "index_codecs": [("bytes", "crc32c")],
        }
        found = {
            "chunk_shape": tuple(inner["chunk_shape"]),
            "index_location": getattr(inner["index_location"], "value", inner["index_location"]),
            "codecs": tuple(codec["name"] for codec in inner["codecs"]),
            "index_codecs": tuple(codec["name"] for codec in inner["index_codecs"]),
        }
        orders = [codec.get("configuration", {}) for key in ("codecs", "index_codecs") for codec in inner[key][:1]]
        if (
            any(found[key] not in (of if isinstance(of, list) else [of]) for key, of in expected.items())
            or any(getattr(of.get("endian"), "value", of.get("endian")) not in ("little", None) for of in orders)
            or tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"]) != (FILE_CLIPS, *clip[1:])
            or array.fill_value != 0
        ):
            return None
        return cls(store, name, array, "zstd" in found["codecs"])

    def read(self, row: int, view: int, out: np.ndarray) -> None:
        """Fill `out` (C-contiguous, of the clips' shape and dtype) with a clip.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is damaged.
        """
        path = self.store / shard_file(self.name, row, view, len(self.clip_shape))
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # nothing but zeros: such a shard has no file
            out[...] = 0
            return
        try:
            status = os.fstat(file)
            index = _take(file, INDEX, status.st_size - INDEX)
            check_sum(index[:-SUM], index[-SUM:])
            offset, size = map(int, index[:-SUM].view("<u8").reshape(-1, 2)[row % FILE_CLIPS])
            if offset == size == ABSENT:
                out[...] = 0
            elif offset + size > status.st_size:
                raise ValueError(f"{size} bytes at {offset} of a file of {status.st_size}")
            elif self._zstd is None:
                version = (status.st_ino, status.st_mtime_ns, status.st_size)
                self._raw(file, offset, size, out, (row, view), version)
            else:
                chunk = _take(file, size, offset)
                check_sum(chunk[:-SUM], chunk[-SUM:])
                self._zstd.decode(chunk[:-SUM], out.reshape(-1).view(np.uint8))
        finally:
            os.close(file)

    def write(self, first: int, view: int, clips: np.ndarray, pool: Executor) -> tuple[str, dict]:
        """Write the shard file that begins with row `first`, whole or not at all.

        Args:
            clips: [clips ...] of one view, at most FILE_CLIPS.
            pool: compresses them.
        Returns:
            Its path below the store; bytes and sha256.
        Raises:
            OSError: it cannot be written.
        """
        chunks = list(pool.map(self._encoded, clips))
        index = np.full((FILE_CLIPS, 2), ABSENT, "<u8")
        index[: len(chunks), 1] = [len(chunk) for chunk in chunks]
        index[: len(chunks), 0] = np.cumsum(index[: len(chunks), 1]) - index[: len(chunks), 1]
        parts = [*chunks, _summed(index.tobytes())]
        key, sha256 = shard_file(self.name, first, view, len(self.clip_shape)), hashlib.sha256()
        with atomic_write(self.store / key, "wb") as stream:
            for part in parts:
                stream.write(part)
                sha256.update(part)
        return key, {"bytes": sum(map(len, parts)), "sha256": sha256.hexdigest()}

    def _encoded(self, clip: np.ndarray) -> bytes:
        values = np.ascontiguousarray(clip).reshape(-1).view(np.uint8)
        return _summed(values.tobytes() if self._zstd is None else self._zstd.encode(values))

    def _raw(self, file: int, offset: int, size: int, out: np.ndarray, place: tuple[int, int], version: tuple) -> None:
        values = out.reshape(-1).view(np.uint8)
        if size != values.nbytes + SUM:
            raise ValueError(f"{size} bytes stored, expected {values.nbytes + SUM}")
        stored = np.empty(SUM, np.uint8)
        if os.preadv(file, [values, stored], offset) != size:
            raise ValueError("the file ends before the clip does")
        if self._checked.get(place) != version:
            check_sum(values, stored)
            self._checked[place] = version


def _summed(values: bytes) -> bytes:
    return values + google_crc32c.value(values).to_bytes(SUM, "little")


def _take(file: int, size: int, offset: int) -> np.ndarray:
    """uint8 [size] of a file from `offset` on."""
    if size < SUM or offset < 0:
        raise ValueError(f"{size} bytes at {offset}")
    found = np.empty(size, np.uint8)
    if os.preadv(file, [found], offset) != size:
        raise ValueError("the file ends before the clip does")
    return found


def check_sum(values: np.ndarray, stored: np.ndarray) -> None:
    """ValueError where the crc32c of `values` is not the one that is stored."""
    frozen = values.view()
    frozen.flags.writeable = False
    computed = google_crc32c.value(frozen).to_bytes(4, "little")
    if computed != stored.tobytes():
        raise ValueError(
            f"Stored and computed checksum do not match: stored {stored.tobytes().hex()}, computed {computed.hex()}"
        )
