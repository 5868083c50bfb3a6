"""The manifest, a store's seal: written last, from all receipts, without time stamps."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Any

from fsar_core.errors import FsarError, mend
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place, sizes
from fsar_core.storage.provenance import digest, file_sha256, read_json, write_json
from fsar_core.stores.layout import Plan, check_layout, read_plan

# All that a plan says; a manifest repeats it.
PLANNED = ("layout", "spec", "clips", "views", "shapes", "dtypes", "clips_per_job")


def seal(store: Place, max_failures: float) -> dict[str, Any]:
    """Check that receipts cover every row and that every file exists, then write manifest.json.

    Args:
        max_failures: share of clips that may have failed, 0..1.
    Returns:
        The value of the manifest.
    Raises:
        FsarError: a receipt or shard file is missing or damaged, receipts were made from different
            clip indices or weights, or more clips failed than the card allows.
    """
    plan = read_plan(store)
    files: dict[str, dict] = {}
    failures: list[dict] = []
    inputs: list[dict | None] = []
    for job in range(plan.jobs):
        receipt = read_receipt(store, job)
        rows = plan.rows(job)
        expected = [rows.start, rows.stop]
        if receipt.get("rows") != expected:
            raise FsarError(
                f"{store}/receipts/{job}.json: rows {receipt.get('rows')}, expected {expected}; "
                f"remove the receipt and run again"
            )
        files |= receipt["files"]
        failures += receipt["failures"]
        inputs.append(receipt.get("inputs"))
    begun = [job for job in unfinished_jobs(store) if job < plan.jobs]
    if begun:
        raise FsarError(
            f"{store}/receipts/{begun[0]}.json: a later attempt at this job has not finished; "
            f"unless it is still running, make the job again with `{remake(store, begun)}`"
        )
    made_from = _common_inputs(store, inputs)
    check_files(store, files)
    if len(failures) > max_failures * plan.clips:
        first = failures[0]
        raise FsarError(
            f"{store}: {len(failures)} of {plan.clips} clips failed, first '{first['path']}': "
            f"{first['problem']}; expected at most {max_failures:.1%} (max_failures in the card)"
            f"{_retry_lost(store, plan, failures)}"
        )
    value = {
        **{name: getattr(plan, name) for name in PLANNED},
        "failures": failures,
        "files": files,
        "metadata": {key: file_sha256(store / key) for key in metadata_files(plan)},
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "content": digest({key: entry["sha256"] for key, entry in files.items()}),
        **({"inputs": made_from} if made_from else {}),
    }
    write_json(store / "manifest.json", value)
    return value


def _common_inputs(store: Place, inputs: list[dict | None]) -> dict[str, str]:
    """Return what all jobs of a store were made from; empty if an older receipt does not say.

    Versions of packages do not count: a shard that is made again under another version, with the
    same bytes, leaves the store as it was.

    Raises:
        FsarError: jobs were made from different clip indices or weights.
    """
    known = {job: value for job, value in enumerate(inputs) if value is not None}
    for name, what in (("index", "clip index"), ("weights", "weights")):
        values = {job: value.get(name) for job, value in known.items()}
        usual = max(values.values(), key=list(values.values()).count, default=None)
        others = [job for job, value in values.items() if value != usual]
        if others:
            raise FsarError(
                f"{store}/receipts/{others[0]}.json: made from another {what} than the store's "
                f"other jobs; make it again with `{remake(store, others)}`"
            )
    if not known or len(known) < len(inputs):
        return {}
    jobs = [_without_versions(value) for value in known.values()]
    shared = {name: known[0][name] for name in ("index", "weights") if name in known[0]}
    return {**shared, "jobs": digest(jobs, length=64)}


def _without_versions(inputs: dict) -> dict:
    return {name: value for name, value in inputs.items() if name != "versions"}


def remake(store: Place, jobs: Iterable[int]) -> str:
    """Return the command that does jobs of a store again and seals it."""
    receipts = shlex.join(tracked(store / "receipts" / f"{job}.json") for job in jobs)
    return f"snakemake -R {receipts} -- {shlex.quote(tracked(store / 'manifest.json'))}"


def tracked(path: Place) -> str:
    """Return Snakemake's name for a file of a store; for an object, that of its local copy."""
    if isinstance(path, ObjectPath):
        return f".snakemake/storage/s3/{path.bucket}/{path.key}"
    return str(path)


def lost_jobs(plan: Plan, failures: Iterable[dict]) -> dict[int, list[dict]]:
    """Return the failures of clips that were lost with their decoder, by job.

    Another attempt at these jobs may succeed.
    """
    jobs: dict[int, list[dict]] = {}
    for failure in failures:
        if failure.get("lost"):
            jobs.setdefault(failure["row"] // plan.clips_per_job, []).append(failure)
    return jobs


def lost_clips(store: Place) -> str:
    """Return a line about the clips of a sealed store that were lost with their decoder.

    It has the command that tries them again; without such clips the text is empty.
    """
    manifest = read_manifest(store)
    if not any(failure.get("lost") for failure in manifest["failures"]):
        return ""
    jobs = lost_jobs(Plan(**{name: manifest[name] for name in PLANNED}), manifest["failures"])
    lost = [failure for failures in jobs.values() for failure in failures]
    count = "1 clip was" if len(lost) == 1 else f"{len(lost)} clips were"
    return (
        f"{count} lost with the decoder, first '{lost[0]['path']}' ({lost[0]['problem']}); try "
        f"again with `{remake(store, jobs)}`"
    )


def _retry_lost(store: Place, plan: Plan, failures: list[dict]) -> str:
    jobs = lost_jobs(plan, failures)
    if not jobs:
        return ""
    count = sum(map(len, jobs.values()))
    return (
        f"; {count} of them were lost with the decoder and may succeed in another attempt: "
        f"`{remake(store, jobs)}`"
    )


def metadata_files(plan: Plan) -> list[str]:
    """Return Zarr's own files, by their path below the store; they say how shards are read."""
    return ["data.zarr/zarr.json", *(f"data.zarr/{name}/zarr.json" for name in plan.shapes)]


def read_receipt(store: Place, job: int) -> dict[str, Any]:
    """Return the receipt of a job; raise FsarError if it is not done."""
    path = store / "receipts" / f"{job}.json"
    return read_json(path, f"job {job} of this store is not done; run snakemake again")


def unfinished_mark(store: Place, job: int) -> Place:
    """Return a file that exists while a job changes shard files, until its receipt is written.

    A missing receipt would say the same, but Snakemake restores the old one when a job fails.
    """
    return store / "locks" / f"unfinished_{job}.lock"


def unfinished_jobs(store: Place) -> list[int]:
    """Return the jobs that began to change shard files and have not written their receipt."""
    folder = store / "locks"
    if isinstance(folder, ObjectPath):
        names = [held.path.name for held in folder.objects()]
    else:
        names = [path.name for path in folder.glob("unfinished_*.lock")]
    matches = (re.fullmatch(r"unfinished_(\d+)\.lock", name) for name in names)
    return sorted(int(match[1]) for match in matches if match)


def read_manifest(store: Place) -> dict[str, Any]:
    """Return the value of manifest.json.

    Raises:
        FsarError: the store is not sealed, or its layout is newer than this version knows.
    """
    path = store / "manifest.json"
    value = read_json(path, "the store is not complete; run snakemake again to finish it")
    check_layout(value, path)
    return value


def check_metadata(store: Place, manifest: dict[str, Any]) -> None:
    """Raise FsarError unless Zarr's own files are those that were sealed.

    Another one would turn sound bytes into other numbers. Older manifests have no checksums of
    them.
    """
    for key, expected in manifest.get("metadata", {}).items():
        path = store / key
        if not path.is_file():
            raise FsarError(f"{path}: missing; {mend(store)}")
        if file_sha256(path) != expected:
            raise FsarError(
                f"{path}: damaged (its bytes are not those that were sealed); {mend(store)}"
            )


def check_files(store: Place, files: dict[str, dict]) -> None:
    """Raise FsarError unless every shard file exists with its recorded size."""
    present = sizes(store, files)
    for key, entry in files.items():
        path, size = store / key, present.get(key)
        if size != entry["bytes"]:
            found = "missing" if size is None else f"{size} bytes"
            raise FsarError(
                f"{path}: {found}, expected {entry['bytes']} bytes; the store is damaged: "
                f"{mend(store)}"
            )
