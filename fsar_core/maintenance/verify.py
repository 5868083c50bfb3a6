"""What lies under the roots, and which bytes of it are not what was written. Torch-free."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fsar_core.config import Roots
from fsar_core.data.index import lost_clips as lost_clips_of_index
from fsar_core.data.index import read_index
from fsar_core.errors import FsarError, mend
from fsar_core.evaluation.results import read_queries
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place, place
from fsar_core.storage.provenance import read_json, zip_damage
from fsar_core.stores import verify as stores
from fsar_core.stores.layout import STORE_FILES
from fsar_core.stores.manifest import lost_clips, tracked
from fsar_core.study.artifacts.graph import kinds

REMOVED = ".removed."  # how the name of a folder begins while `fsar clean` removes it


class Checked(NamedTuple):
    """faults: one line each, none where all is sound; note: what else there is to say."""

    faults: list[str]
    note: str = "sound"


def everything(roots: Roots) -> list[Place]:
    """Return single files, then stores, then folders of runs under the roots, each once."""
    files: list[Place] = []
    folders: dict[str, list[Place]] = {"stores": [], "weights": [], "results": []}
    for kind in (kind for kind in kinds().values() if kind.location is not None):
        root, *patterns = kind.location
        found = [path for each in patterns for path in _matching(getattr(roots, root), each)]
        if kind.is_folder:
            folders[root] += sorted(path.parent for path in found)
        else:
            # A hidden file is half of one that a killed job was writing; nobody reads it.
            files += [_removed(path) or path for path in found if not path.name.startswith(".")]
    in_folders = [path for paths in folders.values() for path in paths]
    return list(dict.fromkeys([*sorted(files, key=_order), *in_folders]))


def _removed(path: Place) -> Place | None:
    """The folder around a path that a killed `fsar clean` left."""
    return next(
        (folder for folder in (path, *path.parents) if folder.name.startswith(REMOVED)), None
    )


def repair_note(target: Place) -> Place:
    """Where `fsar repair` notes that it is making a file again: beside it, hidden, until it has finished."""
    return target.parent / f".{target.name}.repair"


def _order(path: Place) -> tuple[bool, Place]:
    return isinstance(path, Path), path  # those of a bucket first: the two kinds cannot be compared


def _matching(root: Place, pattern: str) -> list[Place]:
    """What `glob` finds; of a bucket, folders are what objects lie below."""
    if not isinstance(root, ObjectPath):
        return list(root.glob(pattern))
    depth = pattern.count("/") + 1
    names = {"/".join(held.path.below(root).split("/")[:depth]) for held in root.objects()}
    return [
        root / name
        for name in sorted(names)
        if name.count("/") == depth - 1 and PurePosixPath(name).match(pattern)
    ]


def unit_of(path: str | Place) -> Place:
    """The store or run that a path lies in, else the path itself."""
    path, here = place(path), Path.cwd()
    if removed := _removed(path):
        return removed
    for folder in (path, *path.parents):
        # What else lies in the project's folder is none of ours.
        if isinstance(folder, Path) and here.is_relative_to(folder.resolve()):
            break
        summary = folder / "summary.json"
        run = summary.exists() or repair_note(summary).exists()
        if run or any((folder / name).exists() for name in STORE_FILES):
            return folder
    return path


def check(path: Place) -> Checked:
    """Read every byte of a store, of a run, or of one file. FsarError for what is nothing of the kind."""
    if path.name.startswith(REMOVED):
        return Checked(
            [], "left by a killed `fsar clean`, which nothing reads; `fsar clean` removes it"
        )
    if any((path / name).exists() for name in STORE_FILES):
        return _store(path)
    if (path / "summary.json").exists():
        return _file(lambda: read_queries(path))
    if not path.is_file():
        raise FsarError(
            f"{path}: nothing to check; expected a store, the folder of a run, or a file that fsar wrote"
        )
    if path.suffix in (".npz", ".pt"):
        return _file(lambda: _zip(path))
    if path.suffix == ".json":
        return _file(lambda: read_json(path, ""))
    if path.suffix == ".tsv":
        return _index(path)
    raise FsarError(
        f"{path}: nothing that holds a checksum; expected .npz, .pt, .json or a clip index"
    )


def _store(path: Place) -> Checked:
    if not any((path / name).exists() for name in ("plan.json", "manifest.json")):
        return Checked([], "not planned yet")
    found = stores.examine(path)
    if found.sealed:
        lost = "" if found.reasons else lost_clips(path)
        return Checked(found.reasons, f"sound, but {lost}" if lost else "sound")
    note = (
        f"not finished: {len(found.missing)} jobs are not done"
        if found.missing
        else "not sealed yet"
    )
    if repair_note(path / "manifest.json").is_file():
        note += f"; a repair was interrupted, finish it with `fsar repair {shlex.quote(str(path))}`"
    return Checked(found.reasons, note)


def _index(path: Place) -> Checked:
    found = _file(lambda: read_index(path))
    lost = "" if found.faults else lost_in_index(path)
    return found._replace(note=f"sound, but {lost}") if lost else found


def lost_in_index(path: Place) -> str:
    """A line about the clips of an index that were lost with their decoder, with the command that tries them again; an empty
    text where there are none."""
    paths = lost_clips_of_index(read_index(path))
    if not paths:
        return ""
    count = "1 clip was" if len(paths) == 1 else f"{len(paths)} clips were"
    name = shlex.quote(tracked(path))
    return f"{count} lost with the decoder, first '{paths[0]}'; try again with `snakemake -R {name} -- {name}`"


def _file(read) -> Checked:
    try:
        read()
    except FsarError as error:
        return Checked([stores.reason(error)])
    return Checked([])


def _zip(path: Path) -> None:
    try:
        bad = zip_damage(path)
    except (
        Exception
    ) as error:  # BadZipFile, zlib.error, struct.error, EOFError ...: whatever a damaged file gives
        raise FsarError(f"{path}: damaged ({type(error).__name__}); {mend(path)}") from None
    if bad:
        raise FsarError(f"{path}: damaged ('{bad}' is not as its checksum says); {mend(path)}")
