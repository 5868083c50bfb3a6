"""Check every byte of a store against its receipts and its seal, and remove what is damaged.

Only what was removed is then made again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from fsar_core.errors import FsarError
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import file_sha256, write_json
from fsar_core.stores import access
from fsar_core.stores.layout import Plan, create_arrays, open_arrays, read_plan
from fsar_core.stores.manifest import (
    PLANNED,
    check_metadata,
    metadata_files,
    read_manifest,
    read_receipt,
)
from fsar_core.stores.writer import shard_keys


@dataclass
class Findings:
    """What is wrong with a store; nothing if there are no reasons.

    Attributes:
        planned: the plan as it should be; None if no sound file says so.
        sealed: whether there is a manifest.
        manifest, plan: why the file is bad.
        metadata: Zarr's bad files (below the store) and why.
        jobs: those of a bad receipt or shard file -> the first such file and why.
        missing: jobs that are not done yet; of a sealed store none, they are bad.
    """

    planned: Plan | None
    sealed: bool = False
    manifest: str = ""
    plan: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    jobs: dict[int, str] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)

    @property
    def reasons(self) -> list[str]:
        """One line for each, which starts with the file."""
        files = {"plan.json": self.plan, "manifest.json": self.manifest, **self.metadata}
        lines = [f"{key}: {reason}" for key, reason in files.items() if reason]
        return [*lines, *(f"job {job}: {reason}" for job, reason in self.jobs.items())]


def examine(store: Place) -> Findings:
    """Read every byte of a store. While a sealed store is examined, nobody unseals it.

    Raises:
        FsarError: there is neither a plan nor a manifest, or the layout is newer than this version
            knows.
    """
    with access.shared(store) as held:
        if not (store / "manifest.json").exists():
            held.close()  # jobs that fill it need not wait for this
        return _examine(store)


def _examine(store: Place) -> Findings:
    plan, plan_fault = _read(lambda: read_plan(store), store / "plan.json")
    manifest, manifest_fault = _read(lambda: read_manifest(store), store / "manifest.json")
    if plan is None and manifest is None and not (plan_fault or manifest_fault):
        raise FsarError(f"{store}: no store; expected a folder with plan.json or manifest.json")
    # Sealed before manifests held it: nothing but plan.json says how the store is arranged.
    of_manifest = (
        Plan(**{name: manifest[name] for name in PLANNED})
        if manifest and "shapes" in manifest
        else None
    )
    if of_manifest and plan != of_manifest:
        plan_fault = plan_fault or ("missing" if plan is None else "not the plan that was sealed")
    found = Findings(
        of_manifest or plan,
        manifest is not None or bool(manifest_fault),
        manifest_fault,
        plan_fault,
    )
    if found.planned is not None:
        found.metadata = _bad_metadata(store, found.planned, manifest or {})
        for job in range(found.planned.jobs):
            _check_job(store, job, manifest or {}, found)
    return found


def _read(reader, path: Place) -> tuple[Any, str]:
    """Return what a reader returns and no fault, or None and the fault.

    A missing file is no fault by itself. The error about a newer layout is raised.
    """
    if not path.is_file():
        return None, ""
    try:
        return reader(), ""
    except FsarError as error:
        if "knows layouts up to" in str(error):
            raise
        return None, reason(error)


def reason(error: FsarError) -> str:
    """Return an error's reason, without the file before it and the remedy after it."""
    return str(error).partition(": ")[2].rpartition("; ")[0]


def _bad_metadata(store: Place, plan: Plan, manifest: dict[str, Any]) -> dict[str, str]:
    bad = {}
    for key, expected in manifest.get("metadata", {}).items():
        try:
            check_metadata(store, {"metadata": {key: expected}})
        except FsarError as error:
            bad[key] = reason(error)
    if not bad:
        try:
            for name, array in open_arrays(store, plan.shapes).items():
                full = (plan.clips, plan.views, *plan.shapes[name])
                if array.shape != full or str(array.dtype) != plan.dtypes[name]:
                    bad[f"data.zarr/{name}/zarr.json"] = (
                        f"shape {array.shape}, {array.dtype}, expected {full}"
                    )
        except FsarError as error:  # no sums: which of the files it is cannot be told
            return dict.fromkeys(metadata_files(plan), reason(error))
    return bad


def _check_job(store: Place, job: int, manifest: dict[str, Any], found: Findings) -> None:
    path = store / "receipts" / f"{job}.json"
    receipt, fault = _read(lambda: read_receipt(store, job), path)
    if receipt is None:
        if fault or found.sealed:
            found.jobs[job] = f"receipts/{job}.json: {fault or 'missing'}"
        else:
            found.missing.append(job)
        return
    own = shard_keys(found.planned, found.planned.rows(job))
    sealed = {key: entry for key, entry in manifest.get("files", {}).items() if key in own}
    if manifest and sealed != receipt["files"]:
        found.jobs[job] = f"receipts/{job}.json: not the receipt that was sealed"
        return
    for key, entry in receipt["files"].items():
        if not (store / key).is_file():
            found.jobs[job] = f"{key}: missing"
        elif file_sha256(store / key) != entry["sha256"]:
            found.jobs[job] = f"{key}: bytes differ from the receipt's sha256"
        else:
            continue
        return


def remove_bad(store: Place, found: Findings) -> list[str]:
    """Remove what `examine` reported, and write what follows from sound files again.

    That is the plan and Zarr's own files. Snakemake then finishes the store by making the damaged
    jobs again and sealing it.

    Returns:
        What was done, one line for each.
    Raises:
        InUse: somebody reads the store. Nothing is changed then.
    """
    with access.exclusive(store, "repair", wait=False):
        return _remove_bad(store, found)


def _remove_bad(store: Place, found: Findings) -> list[str]:
    done: list[str] = []

    def removed(*keys: str) -> None:
        for key in keys:
            if (store / key).exists():
                (store / key).unlink()
                done.append(f"removed {key}")

    if found.jobs or found.manifest or (found.plan and found.planned is None):
        removed("manifest.json")  # first: from here on the store does not exist for readers
    for job in found.jobs:
        removed(f"receipts/{job}.json", *shard_keys(found.planned, found.planned.rows(job)))
    if found.plan and found.planned is None:
        removed("plan.json")
    elif found.plan:
        write_json(store / "plan.json", {name: getattr(found.planned, name) for name in PLANNED})
        done.append("wrote plan.json as the manifest has it")
        # No newer than what was made by it: a plan that looks new would have every job made again.
        receipts = (
            [] if isinstance(store, ObjectPath) else list((store / "receipts").glob("*.json"))
        )
        if receipts:
            os.utime(
                store / "plan.json", ns=(min(path.stat().st_mtime_ns for path in receipts),) * 2
            )
        elif isinstance(store, ObjectPath):
            _put_again(store)
    if found.metadata:
        removed(*found.metadata)
        create_arrays(store, found.planned)
        done += [f"wrote {key}" for key in found.metadata]
        if (store / "manifest.json").exists() and _bad_metadata(
            store, found.planned, read_manifest(store)
        ):
            removed("manifest.json")  # another Zarr words it otherwise: sealed anew
    return done


def _put_again(store: ObjectPath) -> None:
    """Put receipts and seal again as they are, so that they are no older than the plan.

    The time of an object is when it was put.
    """
    for name in ("receipts", "manifest.json"):
        path = store / name
        for file in [held.path for held in path.objects()] or [path] * path.is_file():
            file.write_bytes(file.read_bytes())
