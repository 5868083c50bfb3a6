"""The arrangement of a store on disk, decided once in its plan.

    <stores>/<kind>/<key>/plan.json            spec, rows, arrays, jobs
    <stores>/<kind>/<key>/data.zarr/<array>    Zarr v3, created empty with its final shape
    <stores>/<kind>/<key>/receipts/<job>.json  rows done, files with checksums, failures, seconds
    <stores>/<kind>/<key>/manifest.json        written last; a store without it does not exist for readers

A chunk is one clip and view; a shard file holds `FILE_CLIPS` clips; a job fills whole shard files, so that jobs never
share one. Chunks are zstd level 1 (numcodecs) with a crc32c behind it: a ReLU's zeros lie in runs, which shuffling breaks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsar_core.errors import FsarError
from fsar_core.provenance import write_json
from fsar_core.specs import LAYOUT_VERSION, FeatureSpec, FrameSpec, MaskSpec, SaliencySpec, StoreSpec

if TYPE_CHECKING:
    import zarr

FILE_CLIPS = 64
SPECS: dict[str, type] = {"frames": FrameSpec, "features": FeatureSpec, "masks": MaskSpec, "saliency": SaliencySpec}


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


def parse_spec(text: str) -> StoreSpec:
    """A store spec of any kind from the JSON text that rules pass."""
    try:
        kind = json.loads(text).get("kind")
    except (ValueError, AttributeError):
        raise FsarError(
            "--spec is no JSON object; paste the text between the quotes of the rule's shell line"
        ) from None
    if not isinstance(kind, str) or kind not in SPECS:
        raise FsarError(f"--spec names the unknown kind of store '{kind}'; valid: {', '.join(SPECS)}")
    return SPECS[kind].parse(text)


def create(store: Path, plan: Plan) -> None:
    """Create the empty arrays (kept where they exist with the same plan) and write plan.json last."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    store = Path(store)
    present = open_arrays(store, plan.shapes, mode="a")
    for name, shape in plan.shapes.items():
        full = (plan.clips, plan.views, *shape)
        if name not in present:
            zarr.create_array(
                store / "data.zarr",
                name=name,
                shape=full,
                dtype=plan.dtypes[name],
                chunks=(1, 1, *shape),
                shards=(FILE_CLIPS, 1, *shape),
                compressors=[ZstdCodec(level=1), Crc32cCodec()],
                fill_value=0,
            )
        elif present[name].shape != full or str(present[name].dtype) != plan.dtypes[name]:
            raise FsarError(f"{store}: holds an array '{name}' of another shape; remove the folder and run again")
    write_json(store / "plan.json", asdict(plan))


def open_arrays(store: Path, names: Iterable[str], mode: Literal["r", "r+", "a"] = "r") -> dict[str, zarr.Array]:
    """Arrays by name. Mode `a` makes the group and leaves out absent arrays; FsarError where metadata is damaged."""
    import zarr

    path = Path(store) / "data.zarr"
    try:
        # Zarr would look for zeros in every chunk, which takes longer than compressing it.
        with zarr.config.set({"array.write_empty_chunks": True}):
            group = zarr.open_group(path, mode=mode, zarr_format=3)
            return {name: group[name] for name in names if mode != "a" or name in group}
    except Exception as error:  # zarr raises its own kinds, KeyError and JSONDecodeError
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise FsarError(f"{path}: cannot be opened ({reason}); remove {store} and run snakemake again") from None


def read_plan(store: Path) -> Plan:
    """plan.json; FsarError where it is missing or of a newer layout."""
    path = Path(store) / "plan.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["layout"] > LAYOUT_VERSION:
            raise FsarError(
                f"{path}: layout {value['layout']} is newer than this version of fsar knows ({LAYOUT_VERSION})"
            )
        return Plan(**value)
    except FileNotFoundError:
        raise FsarError(f"{path}: no plan; make it with `fsar plan`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FsarError(f"{path}: damaged plan ({error}); remove it and run snakemake again") from None
