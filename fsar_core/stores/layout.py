"""The arrangement of a store on disk, decided once in its plan.

    <stores>/<kind>/<key>/plan.json            spec, rows, arrays, jobs
    <stores>/<kind>/<key>/data.zarr/<array>    Zarr v3, created empty with its final shape
    <stores>/<kind>/<key>/receipts/<job>.json  rows done, files with checksums, failures, seconds
    <stores>/<kind>/<key>/manifest.json        written last; without it, readers refuse the store

A chunk is one clip and view; a shard file holds `FILE_CLIPS` clips; a job fills whole shard files,
so that jobs never share one. Chunks are compressed with zstd level 1 (numcodecs), unless the spec
says otherwise, and followed by a crc32c. They are not shuffled, which would break the runs of zeros
that a ReLU leaves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from fsar_core.errors import FsarError, first_line, mend
from fsar_core.specs import LAYOUT_VERSION, StoreSpec
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import read_json, write_json
from fsar_core.stores import kinds

if TYPE_CHECKING:
    import zarr

FILE_CLIPS = 64
ZSTD_LEVEL = 1
# What tells a store from another folder; a damaged store may lack any of them.
STORE_FILES = ("plan.json", "manifest.json", "data.zarr")
Files = dict[str, dict[str, Any]]  # path below the store -> bytes, sha256, clips (stores/shards.py)
SPECS = kinds.SpecTypes()


@dataclass(frozen=True)
class Plan:
    """What plan.json holds.

    Attributes:
        clips: rows of every array.
        shape: of one clip and view, by array name.
        clips_per_job: a multiple of FILE_CLIPS.
    """

    layout: int
    spec: dict[str, Any]
    clips: int
    views: int
    shapes: dict[str, list[int]]
    dtypes: dict[str, str]
    clips_per_job: int

    @property
    def jobs(self) -> int:
        return job_count(self.clips, self.clips_per_job)

    def rows(self, job: int) -> range:
        """The rows that job `job` fills."""
        if not 0 <= job < self.jobs:
            raise FsarError(f"job {job} does not exist; this store has the jobs 0..{self.jobs - 1}")
        return range(job * self.clips_per_job, min((job + 1) * self.clips_per_job, self.clips))


def job_count(clips: int, clips_per_job: int) -> int:
    """Jobs of a store; `clips_per_job` is rounded up to whole shard files first."""
    return -(-clips // whole_files(clips_per_job))


def whole_files(clips_per_job: int) -> int:
    """The smallest multiple of FILE_CLIPS that is not below `clips_per_job`."""
    return -(-clips_per_job // FILE_CLIPS) * FILE_CLIPS


def shard_file(array: str, row: int, view: int, axes: int) -> str:
    """Return the file that holds a row and view of an array, below the store.

    Args:
        axes: of a clip and view.
    """
    return "/".join(["data.zarr", array, "c", str(row // FILE_CLIPS), str(view), *["0"] * axes])


def parse_spec(text: str) -> StoreSpec:
    """Return the spec of a store of any kind from the JSON text that rules pass."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise FsarError(
            "--spec is no JSON object; paste the text between the quotes of the rule's shell line"
        )
    return kinds.spec_from(value)


def create(store: Place, plan: Plan) -> None:
    """Create the empty arrays and write plan.json last; arrays of the same plan are kept."""
    create_arrays(store, plan)
    write_json(store / "plan.json", asdict(plan))


def create_arrays(store: Place, plan: Plan) -> None:
    """Zarr's own files of the arrays that are not there yet."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    present, raw = open_arrays(store, plan.shapes, mode="a"), plan.spec.get("compression") == "none"
    for name, shape in plan.shapes.items():
        full = (plan.clips, plan.views, *shape)
        if name not in present:
            zarr.create_array(
                _as_zarr(store / "data.zarr"),
                name=name,
                shape=full,
                dtype=plan.dtypes[name],
                chunks=(1, 1, *shape),
                shards=(FILE_CLIPS, 1, *shape),
                compressors=[*([] if raw else [ZstdCodec(level=ZSTD_LEVEL)]), Crc32cCodec()],
                fill_value=0,
            )
        elif present[name].shape != full or str(present[name].dtype) != plan.dtypes[name]:
            raise FsarError(
                f"{store}: holds an array '{name}' of another shape; remove the folder and run "
                f"again"
            )


def open_arrays(
    store: Place,
    names: Iterable[str],
    mode: Literal["r", "r+", "a"] = "r",
    sums: Files | None = None,
) -> dict[str, zarr.Array]:
    """Return arrays by name.

    Args:
        mode: `a` makes the group, and leaves out arrays that do not exist.
        sums: filled with bytes and sha256 of what is written to a bucket, by path below the store.
    Raises:
        FsarError: Zarr's metadata is damaged.
    """
    import zarr

    path = store / "data.zarr"
    try:
        # Zarr would look for zeros in every chunk, which takes longer than compressing it.
        with zarr.config.set({"array.write_empty_chunks": True}):
            group = zarr.open_group(_as_zarr(path, sums), mode=mode, zarr_format=3)
            found = {name: group[name] for name in names if mode != "a" or name in group}
    except FsarError:  # the object store cannot be reached
        raise
    except Exception as error:  # zarr raises its own kinds, KeyError and JSONDecodeError
        reason = first_line(error)
        raise FsarError(f"{path}: cannot be opened ({reason}); {mend(store)}") from None
    for name, array in found.items():
        # Numbers are all that fsar stores; nothing else is decoded.
        if not isinstance(array, zarr.Array) or array.dtype.kind not in "uif":
            raise FsarError(f"{path}: '{name}' is no array of numbers; {mend(store)}")
    return found


def _as_zarr(path: Place, sums: Files | None = None) -> Any:
    """What Zarr takes for its store."""
    if not isinstance(path, ObjectPath):
        return path
    from fsar_core.stores.objects import SummedStore

    return SummedStore(path, {} if sums is None else sums)


def read_plan(store: Place) -> Plan:
    """plan.json; FsarError where it is missing, damaged or of a newer layout."""
    path = store / "plan.json"
    value = read_json(path, "make it with `fsar plan`")
    check_layout(value, path)
    try:
        return Plan(**value)
    except TypeError as error:
        raise FsarError(f"{path}: damaged plan ({error}); {mend(store)}") from None


def check_layout(value: dict[str, Any], path: Place) -> None:
    """FsarError unless the plan or manifest at `path` is of a layout that this version knows."""
    layout = value.get("layout")
    if type(layout) is not int or layout < 1:
        raise FsarError(f"{path}: damaged (layout {layout!r}); {mend(path.parent)}")
    if layout > LAYOUT_VERSION:
        raise FsarError(
            f"{path}: the store has layout {layout}, and this fsar knows layouts up to "
            f"{LAYOUT_VERSION}: open it with the fsar that wrote it (or a later one), or move "
            f"{path.parent} away and run snakemake to make it anew"
        )
