"""Take actionness out of a saliency store for a figure, and pictures of a few test clips."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.data import intervals
from fsar_core.data.index import index_identity, read_index
from fsar_core.specs import SaliencySpec
from fsar_core.storage.bindings import check_index
from fsar_core.storage.places import place
from fsar_core.stores.reader import StoreReader


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of a SaliencySpec")
    parser.add_argument("--store", type=place, required=True)
    parser.add_argument("--frames", type=place, required=True, help="the frame store, for pictures")
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--intervals", help="in which frames of its clips the action is, where the data set says so")
    parser.add_argument("--examples", type=int, required=True, help="test clips that are shown")
    parser.add_argument("--out", type=Path, required=True, help=".npz")


def run(args: argparse.Namespace) -> None:
    import numpy as np

    from fsar_core.evaluation import arrays
    from fsar_core.evaluation.saliency_inspection import taken_out

    spec = SaliencySpec.parse(args.spec)
    store = StoreReader(args.store, "actionness", spec)
    frames = StoreReader(args.frames, "frames", spec.features.frames)
    acting = intervals.read(Path(args.intervals)) if args.intervals else None
    index = read_index(args.index)
    check_index(args.index, index_identity(index), [store, frames])
    found = taken_out(spec, store, frames, index, acting, args.examples)
    arrays.save(args.out, {"dataset": np.array(spec.dataset), **found})
    print(f"{args.out}: actionness of {len(found['rows'])} clips of {spec.dataset}")
