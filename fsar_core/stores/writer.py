"""Filling a store: one job writes whole shard files, then its receipt."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fsar_core.errors import FsarError
from fsar_core.storage.object_paths import ObjectPath, remove
from fsar_core.storage.places import Place, sizes
from fsar_core.storage.provenance import (
    atomic_write,
    environment,
    file_sha256,
    read_json,
    write_json,
)
from fsar_core.stores import access
from fsar_core.stores.layout import FILE_CLIPS, Files, Plan, open_arrays, read_plan, shard_file
from fsar_core.stores.manifest import unfinished_mark
from fsar_core.stores.shards import ShardFiles


class Block(NamedTuple):
    """The values of a run of rows.

    Attributes:
        arrays: by name, [rows views ...].
        failures: among the rows, each `{"row": int, "path": str, "problem": str}`; their values
            stay zero. `"lost": True` marks a clip that another attempt may get.
        counts: numbers for the receipt, summed up over the blocks of a job.
    """

    arrays: dict[str, np.ndarray]
    failures: list[dict]
    counts: Mapping[str, int] = MappingProxyType({})


def finished_job(store: Place, job: int, receipt: Place, inputs: dict[str, Any]) -> dict | None:
    """Return the receipt of a job that need not be done again, or None.

    It was made from the same `inputs`, no clip was lost with its decoder, and its shard files have
    the recorded bytes.
    """
    plan = read_plan(store)
    rows = plan.rows(job)
    try:
        recorded = read_json(receipt, "")
    except FsarError:
        return None
    expected = {"rows": [rows.start, rows.stop], "inputs": inputs}
    is_same = all(recorded.get(name) == value for name, value in expected.items())
    if not is_same or unfinished_mark(store, job).is_file():
        return None
    if any(failure.get("lost") for failure in recorded["failures"]):
        return None
    present = shard_files(store, plan, rows)
    return recorded if _sums(recorded["files"]) == _sums(present) else None


def write_job(
    store: Place,
    job: int,
    blocks: Iterable[Block],
    receipt: Place,
    threads: int = 1,
    inputs: dict[str, Any] | None = None,
) -> dict:
    """Write the blocks of a job shard file by shard file, and the receipt last.

    Blocks are written while the next one is made.

    Args:
        blocks: one for each run of FILE_CLIPS rows, in order.
        threads: that compress; with every four of them one more block is being written at a time.
        inputs: what the blocks are made from (`fsar_core.stores.inputs`). A job without them is
            done again whenever it is asked for.
    Returns:
        The receipt.
    Raises:
        FsarError: values that the dtype cannot hold (an infinity or NaN in a feature), a full disk.
    """
    plan = read_plan(store)
    rows = plan.rows(job)
    begun = unfinished_mark(store, job)
    with atomic_write(begun):
        pass
    # No receipt or seal of an earlier attempt describes what is written from here on.
    access.unseal(store, f"fill job {job}", receipt)
    _remove_leftovers(store, plan, rows)
    written: Files = {}
    stored = open_arrays(store, plan.shapes, mode="r+", sums=written)
    in_bucket = isinstance(store, ObjectPath)
    shards = {
        name: None if in_bucket else ShardFiles.of(store, name, array)
        for name, array in stored.items()
    }
    started = time.time()
    failures: list[dict] = []
    counts: Counter[str] = Counter()
    start = rows.start

    def write(arrays: dict[str, np.ndarray], start: int, stop: int) -> None:
        for name, block in arrays.items():
            _check(block, name, start, stop, plan)
            try:
                for view in range(plan.views):
                    values = block[:, view]
                    is_zero = not values.view(f"u{values.itemsize}").max()
                    if is_zero:  # such a shard has no file
                        continue
                    if shards[name] is None:  # arranged in another way: written by Zarr itself
                        stored[name][start:stop, view] = values
                    else:
                        written.update([shards[name].write(start, view, values, pool)])
            except OSError as error:
                raise FsarError(
                    f"{store}: cannot write rows {start}..{stop - 1}: {error.strerror or error}"
                ) from None

    at_once = 1 + threads // 4
    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(at_once) as writers:
        writing: deque[Future] = deque()
        for arrays, failed, counted in blocks:
            if len(writing) == at_once:
                writing.popleft().result()
            stop = min(start + FILE_CLIPS, rows.stop)
            writing.append(writers.submit(write, arrays, start, stop))
            failures += failed
            counts.update(counted)
            start = stop
        for each in writing:
            each.result()
    if start != rows.stop:
        raise FsarError(f"{store}: job {job} ended at row {start}, expected {rows.stop}")
    # Of a bucket, the checksums of what was sent.
    is_summed = in_bucket or None not in shards.values()
    value = {
        "job": job,
        "rows": [rows.start, rows.stop],
        "files": written if is_summed else shard_files(store, plan, rows),
        "failures": failures,
        "counts": dict(sorted(counts.items())),
        "seconds": round(time.time() - started, 3),
        "environment": environment(),
        **({} if inputs is None else {"inputs": inputs}),
    }
    write_json(receipt, value)
    begun.unlink(missing_ok=True)
    return value


def _sums(files: Files) -> dict[str, str]:
    """Return the checksums of files; nothing else that is recorded of them counts."""
    return {key: entry["sha256"] for key, entry in files.items()}


def shard_files(store: Place, plan: Plan, rows: range) -> Files:
    """Return bytes and sha256 of the shard files of a range of rows, by their path below the store.

    A shard of zeros has no file.
    """
    present = sizes(store, shard_keys(plan, rows))
    return {
        key: {"bytes": size, "sha256": file_sha256(store / key)} for key, size in present.items()
    }


def shard_keys(plan: Plan, rows: range) -> list[str]:
    """Return the shard files that a range of rows may have, below the store."""
    return [
        shard_file(name, row, view, len(shape))
        for name, shape in plan.shapes.items()
        for row in range(rows.start, rows.stop, FILE_CLIPS)
        for view in range(plan.views)
    ]


def _remove_leftovers(store: Place, plan: Plan, rows: range) -> None:
    """Remove what an earlier attempt left.

    Zarr would read its shard files before it replaces them, and fail if they are damaged. A killed
    attempt also leaves temporary files; objects are put whole or not at all.
    """
    if isinstance(store, ObjectPath):
        remove([store / key for key in sizes(store, shard_keys(plan, rows))])
        return
    for key in shard_keys(plan, rows):
        path = store / key
        path.unlink(missing_ok=True)
        for left in (*path.parent.glob(f".{path.name}.*"), *path.parent.glob("*.partial")):
            left.unlink()


def _check(block: np.ndarray, name: str, start: int, stop: int, plan: Plan) -> None:
    """Raise FsarError unless a block has the planned shape and type and finite values."""
    where = f"array '{name}' rows {start}..{stop - 1}"
    expected = (stop - start, plan.views, *plan.shapes[name])
    if block.shape != expected:
        raise FsarError(f"{where}: expected the shape {expected}, found {block.shape}")
    if block.dtype != np.dtype(plan.dtypes[name]):
        raise FsarError(f"{where}: expected {plan.dtypes[name]}, found {block.dtype}")
    if np.issubdtype(block.dtype, np.floating) and not _finite(block):
        bad = start + int(np.argmin(np.isfinite(block).reshape(len(block), -1).all(axis=1)))
        raise FsarError(
            f"array '{name}' row {bad}: not finite in {block.dtype}; the network's activations "
            f"overflow: check its weights and normalisation, or set `dtype: float32` in the "
            f"preset's backbone"
        )


def _finite(block: np.ndarray) -> bool:
    """Say whether all values are finite, in half precision by their exponents.

    numpy's isfinite takes ten times as long there.
    """
    if block.dtype != np.float16:
        return bool(np.isfinite(block).all())
    return all(int((clip & 0x7FFF).max(initial=0)) < 0x7C00 for clip in block.view(np.uint16))
