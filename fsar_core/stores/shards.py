"""Shard files: single clips read straight into the caller's memory, and whole files written.

The files are Zarr v3 as `layout.create_arrays` has Zarr write them: the chunks of a file, a clip
and view each, every one followed by its crc32c; then an index of their positions (two uint64 for
each: offset and bytes; all ones for none) and the crc32c of the index. Zarr does the same through
an event loop, a pipeline of codecs and a copy each: benchmarks/README.md has the figures. Arrays
with another arrangement are left to Zarr.
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

from fsar_core.storage.places import Place
from fsar_core.storage.provenance import atomic_write
from fsar_core.stores.layout import FILE_CLIPS, ZSTD_LEVEL, Files, shard_file

if TYPE_CHECKING:
    import zarr

SUM = 4  # bytes of a crc32c
ABSENT = 2**64 - 1
INDEX = FILE_CLIPS * 16 + SUM


class ShardFiles:
    """The clips of one array.

    Uncompressed chunks are checked when they are first read, and again when their file has changed,
    because a checksum takes longer than reading. Compressed ones are checked every time.

    With the files of a manifest, a clip is zeros only if the manifest lists no file for it. A
    listed file must exist, and the checksum stored with a clip must be the one that was recorded
    for this clip: otherwise the file is another one.
    """

    def __init__(
        self,
        store: Place,
        name: str,
        array: zarr.Array,
        compressed: bool,
        files: Files | None = None,
    ) -> None:
        self.store, self.name, self._files = store, name, files
        self.clip_shape, self.dtype = array.shape[2:], array.dtype
        self._zstd = Zstd(level=ZSTD_LEVEL) if compressed else None
        self._checked: dict[tuple[int, int], tuple[int, ...]] = {}

    @classmethod
    def of(
        cls, store: Place, name: str, array: zarr.Array, files: Files | None = None
    ) -> ShardFiles | None:
        """Return the shard files of an array.

        It is None if the array is arranged in another way, or on a big-endian machine.

        Args:
            files: those that the manifest lists; None for a store that is being written.
        """
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
        orders = [
            codec.get("configuration", {})
            for key in ("codecs", "index_codecs")
            for codec in inner[key][:1]
        ]
        if (
            any(
                found[key] not in (of if isinstance(of, list) else [of])
                for key, of in expected.items()
            )
            or any(
                getattr(of.get("endian"), "value", of.get("endian")) not in ("little", None)
                for of in orders
            )
            or tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
            != (FILE_CLIPS, *clip[1:])
            or array.fill_value != 0
        ):
            return None
        return cls(store, name, array, "zstd" in found["codecs"], files)

    def read(self, row: int, view: int, out: np.ndarray) -> None:
        """Fill `out` (C-contiguous, of the clips' shape and dtype) with a clip.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is damaged, missing or another one.
        """
        key = shard_file(self.name, row, view, len(self.clip_shape))
        if self._is_zeros(key):
            out[...] = 0
            return
        try:
            file = os.open(self.store / key, os.O_RDONLY)
        except FileNotFoundError:
            self._check_absence(key)
            out[...] = 0
            return
        recorded = self._recorded(key, row)
        try:
            status = os.fstat(file)
            index = _take(file, INDEX, status.st_size - INDEX)
            check_sum(index[:-SUM], index[-SUM:])
            offset, size = map(int, index[:-SUM].view("<u8").reshape(-1, 2)[row % FILE_CLIPS])
            if offset == size == ABSENT:
                check_recorded(None, recorded)
                out[...] = 0
            elif offset + size > status.st_size:
                raise ValueError(f"{size} bytes at {offset} of a file of {status.st_size}")
            elif self._zstd is None:
                version = (status.st_ino, status.st_mtime_ns, status.st_size)
                self._raw(file, offset, size, out, (row, view), version, recorded)
            else:
                chunk = _take(file, size, offset)
                check_recorded(chunk[-SUM:], recorded)
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
            Its path below the store; bytes, sha256 and, as `clips`, the checksums behind its clips.
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
        clips = "".join(chunk[-SUM:].hex() for chunk in chunks)
        return key, {"bytes": sum(map(len, parts)), "sha256": sha256.hexdigest(), "clips": clips}

    def _encoded(self, clip: np.ndarray) -> bytes:
        values = np.ascontiguousarray(clip).reshape(-1).view(np.uint8)
        return _summed(values.tobytes() if self._zstd is None else self._zstd.encode(values))

    def _is_zeros(self, key: str) -> bool:
        """Say whether a shard file holds only zeros: a manifest does not list such a file."""
        return self._files is not None and key not in self._files

    def _check_absence(self, key: str) -> None:
        """Raise ValueError if the manifest lists a file that is missing."""
        if self._files is not None and key in self._files:
            raise ValueError("its shard is missing")

    def _recorded(self, key: str, row: int) -> str | None:
        """Return the checksum recorded for a clip, in hexadecimal; None in older manifests."""
        clips = (self._files or {}).get(key, {}).get("clips")
        if clips is None:
            return None
        first = row % FILE_CLIPS * 2 * SUM
        return clips[first : first + 2 * SUM]

    def _raw(
        self,
        file: int,
        offset: int,
        size: int,
        out: np.ndarray,
        place: tuple[int, int],
        version: tuple[int, ...],
        recorded: str | None,
    ) -> None:
        values = out.reshape(-1).view(np.uint8)
        if size != values.nbytes + SUM:
            raise ValueError(f"{size} bytes stored, expected {values.nbytes + SUM}")
        stored = np.empty(SUM, np.uint8)
        if os.preadv(file, [values, stored], offset) != size:
            raise ValueError("the file ends before the clip does")
        check_recorded(stored, recorded)
        if self._checked.get(place) != version:
            check_sum(values, stored)
            self._checked[place] = version


def _summed(values: bytes) -> bytes:
    return values + google_crc32c.value(values).to_bytes(SUM, "little")


def _take(file: int, size: int, offset: int) -> np.ndarray:
    """Return the bytes of a file from `offset` on, uint8 [size]."""
    if size < SUM or offset < 0:
        raise ValueError(f"{size} bytes at {offset}")
    found = np.empty(size, np.uint8)
    if os.preadv(file, [found], offset) != size:
        raise ValueError("the file ends before the clip does")
    return found


def check_sum(values: np.ndarray, stored: np.ndarray) -> None:
    """Raise ValueError unless the crc32c of `values` is the stored one."""
    frozen = values.view()
    frozen.flags.writeable = False
    computed = google_crc32c.value(frozen).to_bytes(SUM, "little")
    if computed != stored.tobytes():
        raise ValueError(
            f"Stored and computed checksum do not match: stored {stored.tobytes().hex()}, computed "
            f"{computed.hex()}"
        )


def check_recorded(stored: np.ndarray | None, recorded: str | None) -> None:
    """Raise ValueError if the checksum stored with a clip is not the recorded one.

    Args:
        stored: uint8 [SUM]; None if the shard's index has no such clip.
        recorded: in hexadecimal; None if nothing was recorded, which accepts every clip.
    """
    if recorded is None:
        return
    if stored is None:
        raise ValueError("its shard does not hold it")
    if stored.tobytes().hex() != recorded:
        raise ValueError(
            f"another clip is in its place: checksum {stored.tobytes().hex()}, recorded {recorded}"
        )


def clip_sums(shard: bytes) -> str | None:
    """Return the checksums stored with the clips of a shard, in the order of rows, in hexadecimal.

    It is None if the shard is arranged in another way.
    """
    index = shard[-INDEX:]
    if len(index) < INDEX or _summed(index[:-SUM]) != index:
        return None
    spans = np.frombuffer(index[:-SUM], "<u8").reshape(-1, 2)
    ends = [int(offset + size) for offset, size in spans if offset != ABSENT]
    return b"".join(shard[end - SUM : end] for end in ends).hex()
