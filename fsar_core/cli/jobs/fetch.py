"""Download one file, and keep it only if it has the SHA-256 that is expected."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from fsar_core.errors import FsarError
from fsar_core.storage.download import download


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", required=True, help="https://..., http://... or file://...")
    parser.add_argument("--sha256", required=True, help="64 hexadecimal digits")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    expected = args.sha256.lower()
    if not re.fullmatch("[0-9a-f]{64}", expected):
        raise FsarError(
            f"--sha256: expected 64 hexadecimal digits, as sha256sum prints them, "
            f"found {args.sha256!r}"
        )
    size = download(args.address, expected, args.out)
    print(f"{args.out}: {size / 2**20:.1f} MiB of {args.address}")
