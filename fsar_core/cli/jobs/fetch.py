"""Download one file, and keep it only if it has the SHA-256 that is expected."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from fsar_core.errors import FsarError
from fsar_core.storage.provenance import atomic_write

TIMEOUT = 60.0  # seconds to wait for a connection, and for each block of data
BLOCK = 2**20  # bytes


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", required=True, help="https://..., http://... or file://...")
    parser.add_argument("--sha256", required=True, help="64 hexadecimal digits")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    expected = args.sha256.lower()
    if not re.fullmatch("[0-9a-f]{64}", expected):
        raise FsarError(f"--sha256: expected 64 hexadecimal digits, as sha256sum prints them, found {args.sha256!r}")
    size, found = 0, hashlib.sha256()
    with atomic_write(args.out, "wb") as stream:
        for block in _blocks(args.address):
            stream.write(block)
            found.update(block)
            size += len(block)
        if found.hexdigest() != expected:
            raise _failure(args.address, f"its SHA-256 is {found.hexdigest()}, expected {expected}")
    print(f"{args.out}: {size / 2**20:.1f} MiB of {args.address}")


def _blocks(address: str) -> Iterator[bytes]:
    """The content of an address, block by block. FsarError where it ends early or does not come in time."""
    size = 0
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
            announced = response.headers.get("Content-Length")
            while block := response.read(BLOCK):
                size += len(block)
                yield block
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: no such kind of address
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise _failure(address, f"no data for {TIMEOUT:g} s") from None
        raise _failure(address, (str(error).splitlines() or [type(error).__name__])[0]) from None
    if announced is not None and size != int(announced):
        raise _failure(address, f"the connection ended after {size:,} of {int(announced):,} bytes")


def _failure(address: str, reason: str) -> FsarError:
    return FsarError(
        f"{address}: cannot be downloaded ({reason}); download it elsewhere and name the file as `weights`, "
        "or correct `sha256`"
    )
