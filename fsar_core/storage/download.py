"""Downloads of single files, kept only with the SHA-256 that is expected."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from fsar_core.errors import FsarError, first_line
from fsar_core.storage.provenance import atomic_write

TIMEOUT = 60.0  # seconds to wait for a connection, and for each block of data
BLOCK = 2**20  # bytes


def download(address: str, sha256: str, out: Path) -> int:
    """Download a file and return its size in bytes; nothing is left of any other file.

    Args:
        address: https://..., http://... or file://...
        sha256: 64 hexadecimal digits.
    Raises:
        FsarError: the address cannot be read in time, or its content is another.
    """
    size = 0
    found = hashlib.sha256()
    with atomic_write(out, "wb") as stream:
        for block in _blocks(address):
            stream.write(block)
            found.update(block)
            size += len(block)
        if found.hexdigest() != sha256:
            raise _failure(address, f"its SHA-256 is {found.hexdigest()}, expected {sha256}")
    return size


def _blocks(address: str) -> Iterator[bytes]:
    """Yield the content of an address block by block.

    Raises:
        FsarError: it ends early or does not come in time.
    """
    size = 0
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
            announced = response.headers.get("Content-Length")
            while block := response.read(BLOCK):
                size += len(block)
                yield block
    # A ValueError is raised for an unknown kind of address.
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise _failure(address, f"no data for {TIMEOUT:g} s") from None
        raise _failure(address, first_line(error)) from None
    if announced is not None and size != int(announced):
        reason = f"the connection ended after {size:,} of {int(announced):,} bytes"
        raise _failure(address, reason)


def _failure(address: str, reason: str) -> FsarError:
    return FsarError(
        f"{address}: cannot be downloaded ({reason}); download it elsewhere and name the file as "
        f"`weights`, or correct `sha256`"
    )
