"""Draw the frozen episodes of a spec and write their table."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.data.index import index_identity, read_index
from fsar_core.episodes import tables
from fsar_core.episodes.sampler import Split
from fsar_core.errors import FsarError
from fsar_core.specs import EpisodeSpec
from fsar_core.storage.bindings import check_store_index
from fsar_core.storage.places import place
from fsar_core.stores.manifest import read_manifest


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of an EpisodeSpec")
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--frames", type=place, required=True, help="the frame store: its failed clips are left out")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    spec = EpisodeSpec.parse(args.spec)
    manifest, index = read_manifest(args.frames), read_index(args.index)
    for name in ("dataset", "card"):
        if manifest["spec"].get(name) != getattr(spec, name):
            raise FsarError(
                f"{args.frames}: frames of another data set than the episodes: {name}: expected "
                f"{getattr(spec, name)!r}, found {manifest['spec'].get(name)!r}; name the frame store of this data set"
            )
    identity = index_identity(index)
    check_store_index(args.index, identity, args.frames, manifest.get("inputs", {}))
    failed = frozenset(entry["row"] for entry in manifest["failures"])
    least = spec.shot + spec.query
    split = Split.from_index(index, spec.split, failed, spec.max_seconds, least)
    tables.save(args.out, tables.draw(spec, split, identity))
