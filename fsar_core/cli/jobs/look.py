"""Lay the masks of a store over their frames: PNG and PDF of a few clips, and CSV of how well all of them fit their prompts."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.data.index import index_identity, read_index
from fsar_core.rendering import drawing, mask_store
from fsar_core.specs import MaskSpec
from fsar_core.storage.bindings import check_index
from fsar_core.storage.places import place
from fsar_core.stores.layout import read_plan
from fsar_core.stores.reader import StoreReader


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--masks", type=place, required=True, help="the masks store")
    parser.add_argument(
        "--frames", type=place, required=True, help="the frame store that it lies over"
    )
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--clips", type=int, default=6, help="that are shown")
    parser.add_argument(
        "--out", type=Path, required=True, help="the files' path without its ending"
    )


def run(args: argparse.Namespace) -> None:
    masks = StoreReader(args.masks, "masks")
    spec = MaskSpec.model_validate(masks.spec)
    frames = StoreReader(args.frames, "frames", spec.frames)
    scores = StoreReader(args.masks, "score") if "score" in read_plan(args.masks).shapes else None
    index = read_index(args.index)
    check_index(args.index, index_identity(index), [masks, frames])
    table = mask_store.score_clips(spec, index, masks, scores, args.clips)
    canvas = mask_store.draw_overlays(spec, table, masks, frames, scores)
    drawing.write(canvas, table, args.out)
    print(f"{args.out}.png: {int(table.shown.sum())} of {len(table)} clips")
