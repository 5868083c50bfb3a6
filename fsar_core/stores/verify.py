"""Checking every byte of a store against its receipts."""

from __future__ import annotations

from pathlib import Path

from fsar_core.provenance import file_sha256
from fsar_core.stores.layout import read_plan
from fsar_core.stores.manifest import read_json


def damaged_jobs(store: Path) -> dict[int, str]:
    """Jobs whose shard files differ from what their receipt says: job -> the first file and what is wrong with it."""
    store = Path(store)
    bad: dict[int, str] = {}
    for job in range(read_plan(store).jobs):
        receipt = read_json(store / "receipts" / f"{job}.json", "run snakemake to finish this store")
        for key, entry in receipt["files"].items():
            path = store / key
            if not path.is_file():
                bad.setdefault(job, f"{key}: missing")
            elif file_sha256(path) != entry["sha256"]:
                bad.setdefault(job, f"{key}: bytes differ from the receipt's sha256")
    return bad
