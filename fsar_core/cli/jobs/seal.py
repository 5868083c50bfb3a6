"""Seal a filled store: check receipts and files, write manifest.json."""

from __future__ import annotations

import argparse

from fsar_core.storage.places import place
from fsar_core.stores import jobs


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=place, required=True)
    parser.add_argument(
        "--max-failures",
        type=float,
        required=True,
        help="share of clips that may have failed, 0..1",
    )


def run(args: argparse.Namespace) -> None:
    sealed = jobs.seal(args.store, args.max_failures)
    failed = len(sealed["failures"])
    size = sealed["bytes"] / 2**20
    print(f"{args.store}: {sealed['clips']} clips, {failed} failed, {size:.1f} MiB")
