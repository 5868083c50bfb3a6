"""Draw frozen episodes from files to a file: what `fsar draw-episodes` does."""

from __future__ import annotations

from pathlib import Path

from fsar_core.data.index import index_identity, read_index
from fsar_core.episodes import tables
from fsar_core.episodes.sampler import Split
from fsar_core.errors import FsarError
from fsar_core.specs import EpisodeSpec
from fsar_core.storage.bindings import check_store_index
from fsar_core.storage.places import Place
from fsar_core.stores.manifest import read_manifest


def draw_episodes(spec: EpisodeSpec, index: Place, frames: Place, out: Path) -> None:
    """Draw the episodes of a spec and write their table.

    Args:
        index: the clip index.
        frames: the frame store, whose failed clips are left out.
        out: the table, .npz.
    Raises:
        FsarError: the store is of another data set or other clips; the split has too few clips.
    """
    manifest, clips = read_manifest(frames), read_index(index)
    for name in ("dataset", "card"):
        found, expected = manifest["spec"].get(name), getattr(spec, name)
        if found != expected:
            raise FsarError(
                f"{frames}: frames of another data set than the episodes: {name}: expected "
                f"{expected!r}, found {found!r}; name the frame store of this data set"
            )
    identity = index_identity(clips)
    check_store_index(index, identity, frames, manifest.get("inputs", {}))
    failed = frozenset(entry["row"] for entry in manifest["failures"])
    least = spec.shot + spec.query
    split = Split.from_index(clips, spec.split, failed, spec.max_seconds, least)
    tables.save(out, tables.draw(spec, split, identity))
