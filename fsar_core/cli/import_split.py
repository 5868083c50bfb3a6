"""Turn published split lists into a split.tsv, and say what was found in them."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.config import SPLITS, Card, load
from fsar_core.data import cards, split_formats, splits
from fsar_core.data.duplicates import check_distinct
from fsar_core.data.files import FileFinder
from fsar_core.errors import FsarError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lists", type=Path, nargs="?", help="a folder with train*, val*, test*; or a split.tsv")
    for split in SPLITS:
        parser.add_argument(f"--{split}", type=Path, help=f"the list of {split}, where LISTS is not given")
    parser.add_argument("--format", choices=["auto", *split_formats.FORMATS], default="auto")
    parser.add_argument("--labels", type=Path, nargs="+", default=[], help="JSON files with SSv2's id and template")
    for split in SPLITS:
        parser.add_argument(f"--{split}-names", type=Path, help=f"{split}'s class names, one a line, number 0 first")
    parser.add_argument("--card", help="name or file of the card: its expected counts, paths and source videos")
    parser.add_argument("--folder", type=Path, help="folder of the videos: say how many clips are there")
    parser.add_argument("--workflow", type=Path, default=Path("workflow"), help="the folder with datasets/")
    parser.add_argument("--out", type=Path, required=True, help="the split.tsv to write; an older one is replaced")


def run(args: argparse.Namespace) -> None:
    card = Card.model_construct()  # expects nothing
    if args.card:
        path = Path(args.card)
        card = load(Card, path if path.is_file() else cards.card_file(args.workflow / "datasets", args.card))
    if args.folder and not args.folder.is_dir():
        raise FsarError(f"{args.folder}: no such folder; expected that of the videos")
    if args.out.is_dir():
        raise FsarError(f"{args.out}: a folder; expected the name of the split.tsv to write")
    lists = {split: getattr(args, split) for split in SPLITS if getattr(args, split)}
    if bool(args.lists) == bool(lists):
        raise FsarError("expected either a folder of lists (or a split.tsv), or --train, --val and --test")
    if args.lists:
        lists = split_formats.by_split(args.lists) if args.lists.is_dir() else {"train": args.lists}
    names = {split: getattr(args, f"{split}_names") for split in SPLITS if getattr(args, f"{split}_names")}
    kind = split_formats.detect(lists) if args.format == "auto" else args.format
    entries, sources = split_formats.read(kind, lists, args.labels, names)
    entries, strangers = split_formats.arranged(entries, card)
    print("\n".join([f"format: {kind}", *split_formats.report(entries, card, sources, strangers)]))
    entries = splits.check(entries, card, args.lists or next(iter(lists.values())).parent)
    if args.folder:
        files, missing = FileFinder(args.folder, card.files).find_all(entries.path)
        first = "".join(f"; first missing: {path} ({reason})" for path, reason in list(missing.items())[:1])
        print(f"{len(entries) - len(missing)} of {len(entries)} clips are below {args.folder}{first}")
        check_distinct(entries, files, args.folder)
    splits.write(args.out, entries)
    print(f"written: {args.out}")
