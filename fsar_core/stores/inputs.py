"""What a job of a store was made from: `inputs` of its receipt.

A job is skipped only if none of it has changed. Digests stand for contents: of the job's rows of
the clip index, of videos or masks files, of the shard files of another store that hold the job's
rows, and of the weights file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pandas as pd

from fsar_core.data.index import index_identity
from fsar_core.errors import FsarError
from fsar_core.storage.places import Place, place
from fsar_core.storage.provenance import digest, environment, file_sha256
from fsar_core.stores.layout import Plan, read_plan
from fsar_core.stores.manifest import PLANNED, read_manifest
from fsar_core.stores.writer import shard_keys

Inputs = dict[str, Any]
UNKNOWN = "unknown"
# Columns of the clip index that decide which frames are stored, and what a mask is compared to.
FRAME_COLUMNS = ("row", "split", "path", "file", "frames", "fps", "decoder", "problem")
MASK_COLUMNS = (
    "row",
    "split",
    "class",
    "path",
    "file",
    "frames",
    "fps",
    "height",
    "width",
    "decoder",
)
SPLIT_COLUMNS = ("row", "split")


def job_inputs(
    plan: Plan,
    index: pd.DataFrame,
    rows: range,
    columns: Iterable[str],
    **others: str | None,
) -> Inputs:
    """Return what a job is made from.

    Args:
        others: digests that its kind of store adds, by name; None is left out.
        columns: of the clip index that influence what the job writes.
    """
    listed = index.iloc[rows.start : rows.stop][list(columns)].astype(str).to_numpy().tolist()
    versions = environment()
    del versions["threads"]
    return {
        "index": index_identity(index),
        "plan": digest(asdict(plan), length=64),
        "rows": digest(listed, length=64),
        "versions": versions,
        **{name: value for name, value in others.items() if value is not None},
    }


def shards_digest(store: Place, rows: range, failures_only: bool = False) -> str:
    """Return a digest of the shard files of a sealed store that hold some rows.

    It also depends on which of the rows failed.

    Args:
        failures_only: leave out the shard files, for a job that does not read them.
    Raises:
        FsarError: the store is not sealed.
    """
    manifest = read_manifest(store)
    planned = "shapes" in manifest  # stores sealed by the first versions say it in plan.json alone
    plan = Plan(**{name: manifest[name] for name in PLANNED}) if planned else read_plan(store)
    files = manifest["files"]
    shards = {key: files[key]["sha256"] for key in shard_keys(plan, rows) if key in files}
    failed = sorted(entry["row"] for entry in manifest["failures"] if entry["row"] in rows)
    return digest({"shards": {} if failures_only else shards, "failed": failed}, length=64)


def file_digest(path: Place | str) -> str:
    """Return the SHA-256 of a weights file; raise FsarError if it cannot be read."""
    try:
        return file_sha256(place(path))
    except OSError as error:
        raise FsarError(
            f"{path}: cannot be read ({error.strerror}); expected a file of weights"
        ) from None


def changed_since(old: Inputs | None, new: Inputs) -> list[str]:
    """Return the names of the inputs that differ from those of an older receipt.

    They are [UNKNOWN] if the receipt does not record them.
    """
    if old is None:
        return [UNKNOWN]
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
