"""The manifest: a store's seal. Written last and atomically, from the receipts of all jobs; no time stamps inside."""

from __future__ import annotations

from typing import Any

from fsar_core.errors import FsarError, mend
from fsar_core.places import Place, place, sizes
from fsar_core.provenance import digest, file_sha256, read_json, write_json
from fsar_core.stores.layout import Plan, check_layout, read_plan


def seal(store: Place, max_failures: float) -> dict[str, Any]:
    """Check that the receipts cover every row and every file is there, then write manifest.json.

    Raises:
        FsarError: a receipt or shard file is missing or damaged, or more clips failed than the card allows.
    """
    store, plan = place(store), read_plan(store)
    files: dict[str, dict] = {}
    failures: list[dict] = []
    for job in range(plan.jobs):
        receipt = read_receipt(store, job)
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
        **{name: getattr(plan, name) for name in PLANNED},
        "failures": failures,
        "files": files,
        "metadata": {key: file_sha256(store / key) for key in metadata_files(plan)},
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "content": digest({key: entry["sha256"] for key, entry in files.items()}),
    }
    write_json(store / "manifest.json", value)
    return value


PLANNED = ("layout", "spec", "clips", "views", "shapes", "dtypes", "clips_per_job")  # the whole of the plan


def metadata_files(plan: Plan) -> list[str]:
    """Zarr's own files, which say how the shard files are read, below the store."""
    return ["data.zarr/zarr.json", *(f"data.zarr/{name}/zarr.json" for name in plan.shapes)]


def read_receipt(store: Place, job: int) -> dict[str, Any]:
    """The receipt of a job; FsarError where it is not done."""
    path = place(store) / "receipts" / f"{job}.json"
    return read_json(path, f"job {job} of this store is not done; run snakemake again")


def read_manifest(store: str | Place) -> dict[str, Any]:
    """manifest.json; FsarError where the store is not sealed or its layout is newer than this version knows."""
    path = place(store) / "manifest.json"
    value = read_json(path, "the store is not complete; run snakemake again to finish it")
    check_layout(value, path)
    return value


def check_metadata(store: Place, manifest: dict[str, Any]) -> None:
    """Zarr's own files are those that were sealed: one that is not would turn sound bytes into other numbers."""
    for key, expected in manifest.get("metadata", {}).items():  # sealed before there were sums: none
        path = place(store) / key
        if not path.is_file():
            raise FsarError(f"{path}: missing; {mend(store)}")
        if file_sha256(path) != expected:
            raise FsarError(f"{path}: damaged (its bytes are not those that were sealed); {mend(store)}")


def check_files(store: Place, files: dict[str, dict]) -> None:
    """Every shard file is there with its recorded size. FsarError names the first that is not and how to mend it."""
    store = place(store)
    present = sizes(store, files)
    for key, entry in files.items():
        path, size = store / key, present.get(key)
        if size != entry["bytes"]:
            found = "missing" if size is None else f"{size} bytes"
            raise FsarError(f"{path}: {found}, expected {entry['bytes']} bytes; the store is damaged: {mend(store)}")
