"""Options that `train-backbone` and `train-classifier` share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser, spec: str, store: str, what: str) -> None:
    """Add the options.

    Args:
        spec: name of the spec's class.
        store: name of the option for the store that is trained on.
        what: the store, for the help.
    """
    parser.add_argument("--spec", required=True, help=f"JSON of a {spec}")
    parser.add_argument(f"--{store}", type=place, required=True, help=what)
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parsed options without spec and store, by the names of the library function."""
    names = ("index", "threads", "device", "out", "history")
    return {name: getattr(args, name) for name in names}
