"""Download one file, and keep it only if it has the SHA-256 that is expected."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.errors import FsarError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", required=True, help="https://..., http://... or file://...")
    parser.add_argument("--sha256", required=True, help="64 hexadecimal digits")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    from torch.hub import download_url_to_file

    args.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        download_url_to_file(args.address, args.out, hash_prefix=args.sha256, progress=False)
    except (OSError, RuntimeError, ValueError) as error:  # no connection, another SHA-256, no such address
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FsarError(
            f"{args.address}: cannot be had ({reason}); fetch it elsewhere and name the file as `weights`, or correct `sha256`"
        ) from None
    print(f"{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB of {args.address}")
