"""The option for stores and files that have no option of their own."""

from __future__ import annotations

import argparse

from fsar_core.storage.places import Place, place


def arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--input NAME=PATH`, which may be repeated; `args.input` is a list of names and places.

    Args:
        what: the artifact, for the help.
    """
    parser.add_argument(
        "--input",
        type=_named_place,
        action="append",
        default=[],
        metavar="NAME=PATH",
        help=f"{what}; may be repeated",
    )


def _named_place(text: str) -> tuple[str, Place]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"'{text}': expected NAME=PATH")
    return name, place(path)
