"""Turn published split lists into a split.tsv, and say what was found in them."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.config import SPLITS, Card, load
from fsar_core.data import cards, split_formats
from fsar_core.data.split_import import ANY_FORMAT, import_split, lists_in
from fsar_core.errors import FsarError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "lists",
        type=Path,
        nargs="?",
        help="a folder with train*, val*, test*; or a split.tsv",
    )
    for split in SPLITS:
        parser.add_argument(
            f"--{split}", type=Path, help=f"the list of {split}, where LISTS is not given"
        )
    formats = [ANY_FORMAT, *split_formats.FORMATS]
    parser.add_argument("--format", choices=formats, default=ANY_FORMAT)
    parser.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        default=[],
        help="JSON files with SSv2's id and template",
    )
    for split in SPLITS:
        parser.add_argument(
            f"--{split}-names",
            type=Path,
            help=f"{split}'s class names, one a line, number 0 first",
        )
    parser.add_argument(
        "--card", help="name or file of the card: its expected counts, paths and source videos"
    )
    parser.add_argument(
        "--folder", type=Path, help="folder of the videos: say how many clips are there"
    )
    parser.add_argument(
        "--workflow", type=Path, default=Path("workflow"), help="the folder with datasets/"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the split.tsv to write; an older one is replaced"
    )


def run(args: argparse.Namespace) -> None:
    card = _card(args.card, args.workflow) if args.card else None
    lists = _by_split(args, "")
    if bool(args.lists) == bool(lists):
        raise FsarError(
            "expected either a folder of lists (or a split.tsv), or --train, --val and --test"
        )
    source = args.lists or next(iter(lists.values())).parent
    import_split(
        lists_in(args.lists) if args.lists else lists,
        source,
        args.out,
        card,
        args.format,
        args.labels,
        _by_split(args, "_names"),
        args.folder,
    )
    print(f"written: {args.out}")


def _card(name: str, workflow: Path) -> Card:
    path = Path(name)
    return load(Card, path if path.is_file() else cards.card_file(workflow / "datasets", name))


def _by_split(args: argparse.Namespace, suffix: str) -> dict[str, Path]:
    """Return the options `--train`, `--val` and `--test`, with a suffix, that are given."""
    options = {split: getattr(args, f"{split}{suffix}") for split in SPLITS}
    return {split: value for split, value in options.items() if value}
