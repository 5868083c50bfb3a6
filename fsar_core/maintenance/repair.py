"""Making damaged things again, and nothing else: what is bad is removed, and snakemake makes what is then missing.

What comes out as it was recorded keeps its old time stamp, so that nothing that was made of it looks outdated. In a bucket it
cannot: there the time of an object is when it was put, and what was made of a mended store is made again.

Until a repair has finished, a note beside each file that it makes again holds the old checksums and time stamps. If it is
killed, the same command goes on from there.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fsar_core.data.index import index_sums
from fsar_core.errors import FsarError
from fsar_core.maintenance.verify import check, repair_note, unit_of
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import digest, json_sums, read_json, write_json
from fsar_core.stores import access
from fsar_core.stores import verify as stores
from fsar_core.stores.manifest import PLANNED

COPIES = ".snakemake/storage/s3"


class State(NamedTuple):
    """A file as it was before the repair: what may be the checksums of its content, and when it was changed (ns)."""

    sums: frozenset[str]
    time: int


def repair(paths: Sequence[Place], words: Sequence[str]) -> None:
    """Mend stores, runs and files; a line is printed for everything that is done.

    Args:
        paths: of things as `fsar verify` names them, or of a file inside a store or a run.
        words: options of snakemake, as they are needed for these things to be made at all.
    Raises:
        FsarError: somebody reads one of the stores, snakemake cannot make them under this configuration (nothing is removed
            then in both cases), or it did not.
    """
    bad = [unit for unit in dict.fromkeys(map(unit_of, paths)) if _told(unit)]
    for unit in bad:
        if _is_store(unit) and (holder := access.reader_of(unit)):
            raise access.InUse(unit, holder)
    targets = _as_rules_have_them([target for unit in bad for target in _targets(unit)], words)
    before = {unit: _states(unit) for unit in bad}
    for unit in bad:
        _note(unit, before[unit])
        for line in _remove(unit):
            _say(f"{unit}: {line}")
    if targets:
        _snakemake(words, targets)
    for unit in bad:
        if (unit.exists() or _targets(unit)) and (left := check(unit).faults):
            raise FsarError(f"{unit}: still damaged ({left[0]}); remove it and run snakemake again")
        if isinstance(unit, ObjectPath):
            _say(
                f"{unit}: mended; a bucket keeps no old time stamps, so snakemake makes again what was made of it"
            )
        else:
            _keep_times(unit, before[unit])
            _say(f"{unit}: mended")
        for target in _targets(unit):
            repair_note(target).unlink(missing_ok=True)


def recorded(path: Path) -> set[str]:
    """What may be the sum of the content that was written: what the file says, and what its content amounts to. Damage changes
    one of the two, so a file that was made again is as it was if they have one in common."""
    try:
        if path.name == "manifest.json":
            return json_sums(path) | {_sealed(path)}
        if path.suffix == ".json":
            return json_sums(path)
        if path.suffix == ".tsv":
            return index_sums(path)
        if path.suffix in (".npz", ".pt"):
            with zipfile.ZipFile(path) as archive:
                return {
                    digest(
                        [
                            [entry.filename, entry.CRC, entry.file_size]
                            for entry in archive.infolist()
                        ],
                        64,
                    )
                }
        if path.suffix == ".gz":
            return {path.read_bytes()[-8:].hex()}  # CRC-32 and length
    except Exception:  # whatever a damaged file gives: then it says nothing
        return set()
    return set()


def _sealed(manifest: Path) -> str:
    """Digest of what readers get of a store: its arrays, its failures and the content of its shards. What later versions of
    fsar record besides, as when a job of an old store is done again, changes nothing for them."""
    value = read_json(manifest, "")
    return digest({name: value.get(name) for name in (*PLANNED, "failures", "content")}, 64)


def _states(unit: Place) -> dict[Path, State]:
    """The files of a unit before it was first damaged, as far as anything says so: an interrupted repair noted them."""
    present = {
        path: State(frozenset(recorded(path)), path.stat().st_mtime_ns)
        for path in _tracked(unit)
        if isinstance(path, Path) and path.is_file()
    }
    for target in _targets(unit):
        for path, state in _noted(target).items():
            if path not in present or state.sums & present[path].sums:
                present[path] = state
    return present


def _noted(target: Place) -> dict[Path, State]:
    note = repair_note(target)
    if isinstance(note, ObjectPath) or not note.is_file():
        return {}
    try:
        files = read_json(note, "")["files"]
        return {
            note.parent / name: State(frozenset(sums), int(time))
            for name, (sums, time) in files.items()
        }
    except (
        FsarError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ):  # damaged: then it says no more than that it is there
        return {}


def _note(unit: Place, before: dict[Path, State]) -> None:
    for target in _targets(unit):
        note = repair_note(target)
        files = {
            os.path.relpath(path, note.parent): [sorted(state.sums), state.time]
            for path, state in before.items()
        }
        write_json(note, {"files": files})


def _say(line: str) -> None:
    print(line, flush=True)  # before what snakemake prints


def _told(unit: Place) -> bool:
    targets = _targets(unit)
    interrupted = any(repair_note(target).is_file() for target in targets)
    if interrupted:
        _say(f"{unit}: an interrupted repair goes on")
    if interrupted and not _is_store(unit) and not targets[0].exists():
        return True  # it was removed already, so there is nothing to check
    found = check(unit)
    for fault in found.faults:
        _say(f"{unit}: {fault}")
    if not found.faults and not interrupted:
        _say(f"{unit}: {found.note}; nothing to mend")
    return bool(found.faults) or interrupted


def _is_run(unit: Place) -> bool:
    summary = unit / "summary.json"
    return summary.exists() or repair_note(summary).exists()


def _is_store(unit: Place) -> bool:
    return unit.is_dir() and not _is_run(unit)


def _targets(unit: Place) -> list[Place]:
    """What snakemake is asked to make."""
    if unit.name == "last.pt":  # of a training that goes on: it starts anew by itself
        return []
    if _is_store(unit):
        return [unit / "manifest.json"]
    return [unit / "summary.json"] if _is_run(unit) else [unit]


def _tracked(unit: Place) -> list[Place]:
    """Files whose time stamps snakemake looks at; of a store in a bucket none, which cannot keep them."""
    if _is_store(unit):
        if isinstance(unit, ObjectPath):
            return []
        return [
            path
            for path in (unit / "manifest.json", *(unit / "receipts").glob("*.json"))
            if path.is_file()
        ]
    if _is_run(unit):
        return [path for path in (unit / "summary.json", unit / "queries.csv.gz") if path.is_file()]
    return [unit]


def _remove(unit: Place) -> list[str]:
    if _is_store(unit):
        return stores.remove_bad(unit, stores.examine(unit))
    present = [path for path in _tracked(unit) if path.is_file()]
    for path in present:
        path.unlink()
    return ["removed"] * bool(present)


def _keep_times(unit: Path, before: dict[Path, State]) -> None:
    """Old time stamps for what is as it was. Receipts tell how long a job took: a store's are as they were if its seal is."""

    def as_before(path: Path) -> bool:
        return path in before and bool(before[path].sums & recorded(path))

    seal = unit / "manifest.json"
    for path in _tracked(unit):
        if as_before(seal):
            time = min(before.get(path, before[seal]).time, before[seal].time)
        elif as_before(path):
            time = before[path].time
        else:
            continue
        os.utime(path, ns=(time, time))


def _as_rules_have_them(targets: Sequence[Place], words: Sequence[str]) -> list[str]:
    """Targets as snakemake knows them, which compares text: as they are, else relative to here, else absolute. An object it knows
    by where its copy would lie.

    Raises:
        FsarError: it knows none of them, or not all; why it does not know them as they are.
    """
    copies = [
        f"{COPIES}/{t.bucket}/{t.key}" if isinstance(t, ObjectPath) else None for t in targets
    ]
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
    cores = (
        [] if {"--cores", "-c", "--jobs", "-j", "--profile"} & set(words) else ["--cores", "all"]
    )
    command = [str(front), *cores, *words, "--", *map(str, targets)]
    done = subprocess.run(command, capture_output=capture, text=True)
    if done.returncode:
        said = [line for line in (done.stderr or "").splitlines() if line.strip()]
        told = [line for line in said if line.startswith("fsar: error: ")] or said
        reason = f": {told[-1].removeprefix('fsar: error: ')}" if told else ""
        undone = (
            "nothing was removed"
            if capture
            else "what is damaged is removed; mend the cause and run it again"
        )
        raise FsarError(f"snakemake cannot make {shlex.join(map(str, targets))}{reason} ({undone})")
