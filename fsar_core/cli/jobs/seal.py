"""Seal a filled store: check receipts and files, write manifest.json."""

from __future__ import annotations

import argparse

from fsar_core.storage.locks import alone
from fsar_core.storage.places import place
from fsar_core.stores import access
from fsar_core.stores.manifest import seal


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=place, required=True)
    parser.add_argument("--max-failures", type=float, required=True, help="share of clips that may have failed, 0..1")


def run(args: argparse.Namespace) -> None:
    # Shared access: no job may remove a receipt between its check and the seal.
    with alone(args.store / "locks" / "store.lock", "seal"), access.shared(args.store):
        value = seal(args.store, args.max_failures)
    print(f"{args.store}: {value['clips']} clips, {len(value['failures'])} failed, {value['bytes'] / 2**20:.1f} MiB")
