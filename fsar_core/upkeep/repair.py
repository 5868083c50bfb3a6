"""Making damaged things again, and nothing else: what is bad is removed, and snakemake makes what is then missing.

What comes out as it was recorded keeps its old time stamp, so that nothing that was made of it looks outdated. In a bucket it
cannot: there the time of an object is when it was put, and what was made of a mended store is made again.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from fsar_core.data.index import index_sums
from fsar_core.errors import FsarError
from fsar_core.places import ObjectPath, Place
from fsar_core.provenance import json_sums
from fsar_core.stores import verify as stores
from fsar_core.upkeep.verify import check, unit_of

COPIES = ".snakemake/storage/s3"


def repair(paths: Sequence[Place], words: Sequence[str]) -> None:
    """Mend stores, runs and files; a line is printed for everything that is done.

    Args:
        paths: of things as `fsar verify` names them, or of a file inside a store or a run.
        words: options of snakemake, as they are needed for these things to be made at all.
    Raises:
        FsarError: snakemake cannot make them under this configuration (nothing is removed then), or did not.
    """
    bad = [unit for unit in dict.fromkeys(map(unit_of, paths)) if _told(unit)]
    targets = _as_rules_have_them([target for unit in bad for target in _targets(unit)], words)
    before = {
        path: (recorded(path), path.stat().st_mtime_ns)
        for unit in bad
        for path in _tracked(unit)
        if isinstance(path, Path)
    }
    for unit in bad:
        for line in _remove(unit):
            _say(f"{unit}: {line}")
    if targets:
        _snakemake(words, targets)
    for unit in bad:
        if (unit.exists() or _targets(unit)) and (left := check(unit).faults):
            raise FsarError(f"{unit}: still damaged ({left[0]}); remove it and run snakemake again")
        if isinstance(unit, ObjectPath):
            _say(f"{unit}: mended; a bucket keeps no old time stamps, so snakemake makes again what was made of it")
            continue
        _keep_times(unit, before)
        _say(f"{unit}: mended")


def recorded(path: Path) -> set[object]:
    """What may be the sum of the content that was written: what the file says, and what its content amounts to. Damage changes
    one of the two, so a file that was made again is as it was if they have one in common."""
    try:
        if path.suffix == ".json":
            return json_sums(path)
        if path.suffix == ".tsv":
            return index_sums(path)
        if path.suffix in (".npz", ".pt"):
            with zipfile.ZipFile(path) as archive:
                return {tuple((entry.filename, entry.CRC, entry.file_size) for entry in archive.infolist())}
        if path.suffix == ".gz":
            return {path.read_bytes()[-8:]}  # CRC-32 and length
    except Exception:  # whatever a damaged file gives: then it says nothing
        return set()
    return set()


def _say(line: str) -> None:
    print(line, flush=True)  # before what snakemake prints


def _told(unit: Place) -> bool:
    found = check(unit)
    for fault in found.faults:
        _say(f"{unit}: {fault}")
    if not found.faults:
        _say(f"{unit}: {found.note}; nothing to mend")
    return bool(found.faults)


def _is_store(unit: Place) -> bool:
    return unit.is_dir() and not (unit / "summary.json").exists()


def _targets(unit: Place) -> list[Place]:
    """What snakemake is asked to make."""
    if unit.name == "last.pt":  # of a training that goes on: it starts anew by itself
        return []
    if _is_store(unit):
        return [unit / "manifest.json"]
    return [unit / "summary.json"] if unit.is_dir() else [unit]


def _tracked(unit: Place) -> list[Place]:
    """Files whose time stamps snakemake looks at; of a store in a bucket none, which cannot keep them."""
    if _is_store(unit):
        if isinstance(unit, ObjectPath):
            return []
        return [path for path in (unit / "manifest.json", *(unit / "receipts").glob("*.json")) if path.is_file()]
    if unit.is_dir():
        return [path for path in (unit / "summary.json", unit / "queries.csv.gz") if path.is_file()]
    return [unit]


def _remove(unit: Place) -> list[str]:
    if _is_store(unit):
        return stores.remove_bad(unit, stores.examine(unit))
    for path in _tracked(unit):
        path.unlink()
    return ["removed"]


def _keep_times(unit: Path, before: dict[Path, tuple[set, int]]) -> None:
    """Old time stamps for what is as it was. Receipts tell how long a job took: a store's are as they were if its seal is."""

    def as_before(path: Path) -> bool:
        return path in before and bool(recorded(path) & before[path][0])

    seal = unit / "manifest.json"
    for path in _tracked(unit):
        if as_before(seal):
            time = min(before.get(path, before[seal])[1], before[seal][1])
        elif as_before(path):
            time = before[path][1]
        else:
            continue
        os.utime(path, ns=(time, time))


def _as_rules_have_them(targets: Sequence[Place], words: Sequence[str]) -> list[str]:
    """Targets as snakemake knows them, which compares text: as they are, else relative to here, else absolute. An object it knows
    by where its copy would lie.

    Raises:
        FsarError: it knows none of them, or not all; why it does not know them as they are.
    """
    copies = [f"{COPIES}/{t.bucket}/{t.key}" if isinstance(t, ObjectPath) else None for t in targets]
    forms = [
        [copy or change(target) for target, copy in zip(targets, copies)]
        for change in (str, os.path.relpath, os.path.abspath)
    ]
    first = None
    for number, form in enumerate(forms if targets else ()):
        if form in forms[:number]:
            continue
        try:
            _snakemake(["--dry-run", "--quiet", "all", *words], form, capture=True)
            return form
        except FsarError as error:
            first = first or error
    if first:
        raise first
    return []


def _snakemake(words: Sequence[str], targets: Sequence[str], capture: bool = False) -> None:
    """Run it here, for these targets alone."""
    front = Path(sys.executable).with_name("snakemake")
    cores = [] if {"--cores", "-c", "--jobs", "-j", "--profile"} & set(words) else ["--cores", "all"]
    command = [str(front), *cores, *words, "--", *map(str, targets)]
    done = subprocess.run(command, capture_output=capture, text=True)
    if done.returncode:
        said = [line for line in (done.stderr or "").splitlines() if line.strip()]
        told = [line for line in said if line.startswith("fsar: error: ")] or said
        reason = f": {told[-1].removeprefix('fsar: error: ')}" if told else ""
        undone = "nothing was removed" if capture else "what is damaged is removed; mend the cause and run it again"
        raise FsarError(f"snakemake cannot make {shlex.join(map(str, targets))}{reason} ({undone})")
