"""The manifest: a store's seal. Written last and atomically, from the receipts of all jobs; no time stamps inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fsar_core.errors import FsarError
from fsar_core.provenance import digest, write_json
from fsar_core.stores.layout import read_plan


def seal(store: Path, max_failures: float) -> dict[str, Any]:
    """Check that the receipts cover every row and every file is there, then write manifest.json.

    Raises:
        FsarError: a receipt or shard file is missing, or more clips failed than the card allows.
    """
    store, plan = Path(store), read_plan(store)
    files: dict[str, dict] = {}
    failures: list[dict] = []
    for job in range(plan.jobs):
        receipt = read_json(
            store / "receipts" / f"{job}.json", f"job {job} of this store is not done; run snakemake again"
        )
        expected = plan.rows(job)
        if receipt.get("rows") != [expected.start, expected.stop]:
            raise FsarError(
                f"{store}/receipts/{job}.json: rows {receipt.get('rows')}, expected [{expected.start}, {expected.stop}]; "
                f"remove the receipt and run again"
            )
        files |= receipt["files"]
        failures += receipt["failures"]
    check_files(store, files)
    if len(failures) > max_failures * plan.clips:
        first = failures[0]
        raise FsarError(
            f"{store}: {len(failures)} of {plan.clips} clips failed, first '{first['path']}': {first['problem']}; "
            f"expected at most {max_failures:.1%} (max_failures in the card)"
        )
    value = {
        "layout": plan.layout,
        "spec": plan.spec,
        "clips": plan.clips,
        "views": plan.views,
        "failures": failures,
        "files": files,
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "content": digest({key: entry["sha256"] for key, entry in files.items()}),
    }
    write_json(store / "manifest.json", value)
    return value


def read_manifest(store: Path) -> dict[str, Any]:
    """manifest.json; FsarError where the store is not sealed."""
    return read_json(Path(store) / "manifest.json", "the store is not complete; run snakemake again to finish it")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """A small JSON object; FsarError with the remedy where it is missing or damaged."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FsarError(f"{path}: missing; {remedy}") from None
    except ValueError:
        raise FsarError(f"{path}: damaged (no JSON); remove it; {remedy}") from None
    if not isinstance(value, dict):
        raise FsarError(f"{path}: damaged (no JSON object); remove it; {remedy}")
    return value


def check_files(store: Path, files: dict[str, dict]) -> None:
    """Every shard file is there with its recorded size. FsarError names the first that is not and how to mend it."""
    for key, entry in files.items():
        path = Path(store) / key
        size = path.stat().st_size if path.is_file() else None
        if size != entry["bytes"]:
            found = "missing" if size is None else f"{size} bytes"
            raise FsarError(
                f"{path}: {found}, expected {entry['bytes']} bytes; the store is damaged: "
                f"`fsar verify {store}` says how to mend it"
            )
