"""Probe every clip of a data set and write its index."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.config import Card, load
from fsar_core.data import splits
from fsar_core.data.index import build_index, write_index


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--card", type=Path, required=True, help="card.yaml")
    parser.add_argument("--split", type=Path, required=True, help="the split list")
    parser.add_argument("--folder", type=Path, required=True, help="the folder of the videos")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    card = load(Card, args.card)
    entries = splits.check(splits.read(args.split, card.split.format), card, args.split)
    write_index(args.out, build_index(entries, card, args.folder, args.threads))
