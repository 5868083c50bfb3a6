"""Take actionness out of a saliency store for a figure, and pictures of a few test clips."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.specs import SaliencySpec
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of a SaliencySpec")
    parser.add_argument("--store", type=place, required=True)
    parser.add_argument("--frames", type=place, required=True, help="the frame store, for pictures")
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument(
        "--intervals",
        type=_path,
        help="in which frames of its clips the action is, if the data set says so",
    )
    parser.add_argument("--examples", type=int, required=True, help="test clips that are shown")
    parser.add_argument("--out", type=Path, required=True, help=".npz")


def run(args: argparse.Namespace) -> None:
    from fsar_core.evaluation.saliency_inspection import inspect_saliency

    spec = SaliencySpec.parse(args.spec)
    clips = inspect_saliency(
        spec, args.store, args.frames, args.index, args.intervals, args.examples, args.out
    )
    print(f"{args.out}: actionness of {clips} clips of {spec.dataset}")


def _path(text: str) -> Path | None:
    """Return a path; an empty text, as the rule passes it, is none."""
    return Path(text) if text else None
