"""Find and probe every clip of a data set, list what cannot be used, and write the index."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.config import Card, load
from fsar_core.data.cards import load_entries
from fsar_core.data.duplicates import content_digests, equal_content, warnings
from fsar_core.data.index import write_index
from fsar_core.data.probing import build_index, check_failures, report, write_problems
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--card", type=Path, required=True, help="card.yaml")
    parser.add_argument("--folder", type=Path, required=True, help="the folder of the videos")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds that a clip may take")
    parser.add_argument("--problems", type=Path, required=True, help="clips that cannot be used, and why")
    parser.add_argument("--out", type=place, required=True)


def run(args: argparse.Namespace) -> None:
    card = load(Card, args.card)
    entries = load_entries(args.card, card, args.folder)
    index = build_index(entries, card, args.folder, args.threads, args.timeout)
    copies = equal_content(index, content_digests(index))
    print("\n".join([report(index, card), *warnings(copies)]))
    write_problems(args.problems, index, copies)
    check_failures(index, card.max_failures, args.folder, args.problems)
    write_index(args.out, index)
