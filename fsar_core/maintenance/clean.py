"""What lies under stores/ and results/ that nothing of a configuration uses any more. Torch-free.

Careful in the face of what it does not know: a folder or file is only taken for ours if its name and everything in it are as
fsar makes them, links are never followed, and what was changed a moment ago may be in the making for another configuration.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fsar_core.errors import FsarError
from fsar_core.maintenance.verify import REMOVED
from fsar_core.storage import locks
from fsar_core.storage.object_paths import Held, ObjectPath
from fsar_core.storage.object_paths import remove as remove_objects
from fsar_core.storage.places import Place
from fsar_core.stores import access
from fsar_core.stores.layout import STORE_FILES
from fsar_core.study import Study
from fsar_core.study.artifacts import figure, table

HIDDEN = (
    r"\.[^/]+\.[A-Za-z0-9_]{8}"  # what a killed job leaves of a file that it was about to write
)
NOTE = r"\.[^/]+\.repair"  # what `fsar repair` needs to go on after it was killed
STORE = re.compile(
    rf"(plan|manifest)\.json|receipts/[0-9]+\.json|(receipts/)?{HIDDEN}|{NOTE}"
    r"|locks/\w+\.lock|locks/(readers|unsealing)/\w+"
    r"|data\.zarr/([a-z_]+/)?zarr(\.json|(\.json)?\.[^/]+\.partial)"
    rf"|data\.zarr/[a-z_]+/c(/[0-9]+)*/([0-9]+(\.[^/]+\.partial)?|{HIDDEN})"
)
LEASE = re.compile(r"locks/(readers|unsealing)/\w+")
# What killed jobs leave beside the file that they were writing: by fsar, by Zarr, of demo videos, and of downloads.
LEFT = re.compile(r"\..+\.[a-z0-9_]{8}|.+\.[0-9a-f]+\.partial|\..+\.[0-9]+\.part")
DOWNLOAD = re.compile(r".+\.[0-9a-f]{32}\.partial")
LEASE_AGE = (
    3600.0  # seconds: far more than a living process takes to renew its lease, whatever the clocks
)
RUN_NAME = re.compile(r"[\w-]+(\.\w+){3}\.[0-9]+shot\.[0-9a-f]{8}")
FOLDERS = {  # of models and runs: what is in them
    "models": re.compile(rf"(checkpoint|last)\.pt|history\.csv|train\.lock|{HIDDEN}|{NOTE}"),
    "runs": re.compile(rf"summary\.json|queries\.csv\.gz|{HIDDEN}|{NOTE}"),
}
STORE_NAME = re.compile(r"[\w-]+(\.[\w-]+)+\.[0-9a-f]{12}")
INDEX_NAME = re.compile(r"[\w-]+\.[0-9a-f]{12}\.tsv")
EPISODES_NAME = re.compile(r"[\w-]+\.(train|val|test)\.[0-9]+way[0-9]+shot\.[0-9a-f]{12}\.npz")
MADE = {
    "tables": table.ENDINGS,
    "figures": figure.ENDINGS,
    "complexity": ("json",),
}
PAGE_LOG = re.compile(r"(\w+)\.(\w+)\.log")  # of a page of the report: paper, kind


class Item(NamedTuple):
    """A thing to be removed, or left alone for a reason; its bytes and files."""

    path: Place
    bytes: int
    files: int
    reason: str = ""


def in_use(studies: Iterable[Study]) -> set[Place]:
    """Return every file and folder that holds something of these configurations."""
    places: set[Place] = set()
    for study in studies:
        for artifact in study.artifacts:
            places |= set(artifact.places)
        places |= _copies_of_tables(study)
    return places


def _copies_of_tables(study: Study) -> set[Place]:
    """Return the files table<n> of every paper: which one is primary may change."""
    folder = study.config.roots.results / "tables"
    numbers = {name.partition("_table")[2] for name in study.table_names}
    return {folder / f"table{number}.{ending}" for number in numbers for ending in MADE["tables"]}


def unused(studies: list[Study], min_age: float = 3600.0) -> tuple[list[Item], list[Item]]:
    """What may go, and what is left alone although nothing uses it. Files that killed jobs left come last.

    Args:
        studies: configurations over the same roots.
        min_age: seconds since anything in it was changed; what is younger is left alone.
    """
    roots, kept = studies[0].config.roots, in_use(studies)
    gone, left = [], []
    for path, reason in [*_stores(roots.stores), *_results(roots.results)]:
        if path in kept:
            continue
        _sort(path, reason, min_age, gone, left)
    listed = {item.path for item in (*gone, *left)}
    for path in _left_by_killed_jobs(studies):
        if listed.isdisjoint((path, *path.parents)):
            _sort(
                path,
                "",
                max(min_age, LEASE_AGE) if isinstance(path, ObjectPath) else min_age,
                gone,
                left,
            )
    return gone, left


def _sort(path: Place, reason: str, min_age: float, gone: list[Item], left: list[Item]) -> None:
    """Append an item to what may go, or to what is left alone for a reason."""
    try:
        size, files, newest = _measure(path)
    except FileNotFoundError:  # a temporary file that has been renamed meanwhile
        return
    if not reason and (holder := _holder(path)):
        reason = f"in use by {holder}"
    if not reason and newest > time.time() - min_age:
        reason = f"changed less than {min_age / 3600:g} hours ago; perhaps it is being made"
    (left if reason else gone).append(Item(path, size, files, reason))


def remove(item: Item) -> None:
    """Take one thing away. A folder is renamed first: it is there whole or not at all, whenever this is stopped. In a bucket
    the seal goes first: without it a store does not exist.

    Raises:
        InUse: somebody reads or fills it. Nothing is removed then.
    """
    if isinstance(item.path, ObjectPath):
        inside = [held.path for held in item.path.objects()]
        if not inside:
            remove_objects([item.path])
            return
        with access.exclusive(item.path, "clean", wait=False):
            remove_objects([item.path / "manifest.json"])
            remove_objects(inside)
    elif not item.path.is_dir() or item.path.is_symlink():
        item.path.unlink(missing_ok=True)
    elif item.path.name.startswith(REMOVED):
        shutil.rmtree(item.path)
    else:
        going = item.path.with_name(f"{REMOVED}{item.path.name}")
        with _nobody_else_in(item.path):
            item.path.rename(going)
        shutil.rmtree(going)


@contextlib.contextmanager
def _nobody_else_in(folder: Path) -> Iterator[None]:
    """Hold every lock of a folder. InUse if another process holds one."""
    with contextlib.ExitStack() as stack:
        if any((folder / name).exists() for name in STORE_FILES):
            stack.enter_context(access.exclusive(folder, "clean", wait=False))
        for lock in _locks(folder):
            if lock.name != access.READERS and not stack.enter_context(locks.held(lock)):
                raise access.InUse(folder, _signed(lock))
        yield


def _holder(path: Place) -> str:
    """A process that reads a store, fills it, trains a model or writes a file, as text; empty if there is none."""
    if isinstance(path, ObjectPath):
        return access.reader_of(path) if path.is_dir() else ""
    if path.is_symlink():
        return ""
    if not path.is_dir():
        return "a job that is writing it" if locks.is_busy(path) else ""
    busy = next((lock for lock in _locks(path) if locks.is_busy(lock)), None)
    if busy is None:
        return ""
    return access.reader_of(path) if busy.name == access.READERS else _signed(busy)


def _locks(folder: Path) -> list[Path]:
    """The lock files of a store or a model."""
    return [
        path
        for path in (*folder.glob("locks/*.lock"), *folder.glob("*.lock"))
        if not path.is_symlink()
    ]


def _signed(lock: Path) -> str:
    return (locks.holders(lock.read_text(errors="replace")) or ["another process"])[-1]


def check_idle(folder: Path) -> None:
    """FsarError while snakemake runs in a folder."""
    if any((folder / ".snakemake" / "locks").glob("*")):
        raise FsarError(
            "snakemake holds this folder (.snakemake/locks); wait until it is done, or, if it was killed, run it once more first"
        )


def _stores(root: Place) -> Iterator[tuple[Place, str]]:
    """Stores and indices, and why one is left alone (an empty text: it is not)."""
    if isinstance(root, ObjectPath):
        yield from _stores_in_bucket(root)
        return
    for kind in _listed(root.resolve()):
        kind = root / kind.name
        if kind.name == "index":
            yield from (
                (path, "")
                for path in _listed(kind)
                if INDEX_NAME.fullmatch(path.name) or _left_over(path)
            )
        elif kind.is_symlink():
            yield kind, "a link"
        else:
            for path in _listed(kind):
                yield path, _strange(path, STORE_NAME, STORE) or _other_key(path)


def _stores_in_bucket(root: ObjectPath) -> Iterator[tuple[ObjectPath, str]]:
    units: dict[tuple[str, str], list[str]] = {}
    for held in root.objects():
        kind, _, rest = held.path.below(root).partition("/")
        name, _, inside = rest.partition("/")
        if name:  # else it lies beside the stores
            units.setdefault((kind, name), []).append(inside)
    for (kind, name), content in sorted(units.items()):
        path = root / kind / name
        if kind == "index":
            if INDEX_NAME.fullmatch(name) and content == [""]:
                yield path, ""
        elif not STORE_NAME.fullmatch(name):
            yield path, "not a name that fsar gives"
        else:
            strange = next((inside for inside in content if not STORE.fullmatch(inside)), None)
            told = f"holds '{strange}', which fsar did not make"
            yield path, _other_key(path) if strange is None else told


def _left_by_killed_jobs(studies: Iterable[Study]) -> Iterator[Place]:
    """Temporary files where fsar alone writes, of jobs that were killed: below stores, results, weights and demo videos."""
    for root in {study.config.roots.stores for study in studies}:
        yield from _leases(root) if isinstance(root, ObjectPath) else _left_in_stores(root)
    for root in {study.config.roots.results for study in studies}:
        for kind in (*FOLDERS, *MADE, "episodes", "inspections", "actionness", "masks", "report"):
            yield from _files(root / kind, LEFT)
    for root in {study.config.roots.weights for study in studies}:
        yield from _files(root, DOWNLOAD)
        for kind in ("trained", "saliency"):
            yield from _files(root / kind, LEFT)
    datasets = [
        study.dataset(name)
        for study in studies
        for name in sorted(set(study.config.datasets.values()))
    ]
    for folder in sorted({dataset.folder for dataset in datasets if dataset.card.generator}):
        yield from _files(folder, LEFT)


def _left_in_stores(root: Path) -> Iterator[Path]:
    for kind in _listed(root.resolve()):
        for store in _listed(root / kind.name):
            if STORE_NAME.fullmatch(store.name):
                for path in _files(store, LEFT):
                    if STORE.fullmatch(path.relative_to(store).as_posix()):
                        yield path


def _leases(root: ObjectPath) -> Iterator[ObjectPath]:
    """Of readers of any store in a bucket."""
    for held in root.objects():
        _, _, inside = held.path.below(root).partition("/")[2].partition("/")
        if LEASE.fullmatch(inside):
            yield held.path


def _files(folder: Path, name: re.Pattern) -> Iterator[Path]:
    """Files below a folder whose name matches; links are not followed."""
    if folder.is_symlink():
        return
    for place, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = Path(place, file)
            if name.fullmatch(file) and not path.is_symlink():
                yield path


def _results(root: Path) -> Iterator[tuple[Path, str]]:
    """What tests, trainings and reports made, and why something is left alone."""
    for kind, content in FOLDERS.items():
        for path in _listed(root / kind):
            yield path, _strange(path, RUN_NAME, content)
    for path in _listed(root / "episodes"):
        if EPISODES_NAME.fullmatch(path.name) or _left_over(path):
            yield path, ""
    for kind, name in (("inspections", RUN_NAME), ("actionness", STORE_NAME)):
        for folder in _listed(root / kind):
            for path in _listed(folder):
                if name.fullmatch(path.stem) and path.suffix == ".npz":
                    yield path, ""
    for kind, endings in MADE.items():
        for path in _listed(root / kind):
            stem, _, ending = path.name.partition(".")
            if (ending in endings and _logged(root / "logs", kind, stem)) or _left_over(path):
                yield path, ""
    yield from ((path, "") for path in _pages(root))


def _pages(root: Path) -> Iterator[Path]:
    """Pages of the report, and then their logs, which alone tell them from hand-made ones."""
    logs = [path for path in _listed(root / "logs" / "page") if PAGE_LOG.fullmatch(path.name)]
    made = {PAGE_LOG.fullmatch(path.name).groups() for path in logs}
    for folder in _listed(root / "report"):
        for path in _listed(folder):
            if (path.suffix == ".html" and (folder.name, path.stem) in made) or _left_over(path):
                yield path
    yield from logs


def _logged(logs: Path, kind: str, stem: str) -> bool:
    """Whether a job made a file: only its log tells one among tables and figures from a hand-made one."""
    rule = {"tables": "table", "figures": "figure", "complexity": "complexity"}[kind]
    places = [logs / rule / f"{stem}.log"]
    if kind == "tables" and stem.startswith("table"):  # a copy, of the primary paper's
        places.append(logs / "primary_table" / f"{stem.removeprefix('table')}.log")
    return any(place.is_file() for place in places)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder; nothing where it is none, or a link (which may lead anywhere)."""
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _left_over(path: Path) -> bool:
    return re.fullmatch(HIDDEN, path.name) is not None and path.is_file() and not path.is_symlink()


def _strange(folder: Path, name: re.Pattern, content: re.Pattern) -> str:
    """Why a folder cannot be told to be one of ours, or an empty text."""
    if folder.is_symlink():
        return "a link"
    if not folder.is_dir():
        return "no folder"
    if not name.fullmatch(folder.name.removeprefix(REMOVED)):
        return "not a name that fsar gives"
    for place, folders, files in os.walk(folder):
        for entry in (*folders, *files):
            path = Path(place, entry)
            inside = path.relative_to(folder).as_posix()
            if path.is_symlink():
                return f"holds a link, '{inside}'"
            if path.is_file() and not content.fullmatch(inside):
                return f"holds '{inside}', which fsar did not make"
    return ""


def _other_key(folder: Place) -> str:
    """Why the plan of a store does not go with its folder's name, or an empty text (also without a plan that can be read)."""
    try:
        spec = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["spec"]
        dataset = spec.get("dataset") or spec["frames"]["dataset"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return (
        ""
        if folder.name.removeprefix(REMOVED).startswith(f"{dataset}.")
        else f"its plan is of '{dataset}'"
    )


def _measure(path: Place) -> tuple[int, int, float]:
    """Bytes, files, and when anything in it was last changed."""
    if isinstance(path, ObjectPath):
        held = list(path.objects()) or [Held.of(path)]
        return sum(one.bytes for one in held), len(held), max(one.changed for one in held)
    places = [path]
    if path.is_dir() and not path.is_symlink():
        places += [
            Path(place, entry)
            for place, folders, files in os.walk(path)
            for entry in (*folders, *files)
        ]
    stats = [place.lstat() for place in places]
    files = [stat for place, stat in zip(places, stats) if not place.is_dir() or place.is_symlink()]
    # Reading a store signs its lock, which changes nothing in it.
    changed = [
        stat.st_mtime
        for place, stat in zip(places, stats)
        if "locks" not in place.relative_to(path).parts
    ]
    return sum(stat.st_size for stat in files), len(files), max(changed)
