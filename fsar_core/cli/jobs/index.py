"""Find and probe every clip of a data set, list what cannot be used, and write the index."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.data.indexing import index_dataset
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--card", type=Path, required=True, help="card.yaml")
    parser.add_argument("--folder", type=Path, required=True, help="the folder of the videos")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds that a clip may take")
    parser.add_argument(
        "--problems", type=Path, required=True, help="clips that cannot be used, and why"
    )
    parser.add_argument("--out", type=place, required=True)


def run(args: argparse.Namespace) -> None:
    index_dataset(args.card, args.folder, args.problems, args.out, args.threads, args.timeout)
