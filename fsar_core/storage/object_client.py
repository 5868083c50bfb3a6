"""The client of an object store, and what it says of errors.

Address, region and credentials come from the usual variables of the environment (AWS_ENDPOINT_URL,
AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...), never from a configuration.
"""

from __future__ import annotations

import os
import re
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from fsar_core.errors import FsarError

if TYPE_CHECKING:
    from obstore.store import S3Store

EXTRA = 'pip install -e ".[s3]" -c constraints.txt'
CLIENT = {"timeout": "600s", "connect_timeout": "10s"}
LONGEST = 200  # characters of an error
RETRIES = {"max_retries": 6}  # of what may pass by itself: a refused connection, a busy server


def region() -> str:
    """Return the region that the environment names, for Snakemake's plugin; obstore reads it."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def reason_of(text: str) -> str:
    """Return the first line of an error of obstore, and the code that the server gave."""
    first = text.partition("\n\nDebug source")[0]
    code = re.search(r"<Code>(\w+)</Code>", first)
    line = (first.splitlines() or ["no reason given"])[0][:LONGEST]
    return f"{line}: {code[1]}" if code and code[1] not in line else line


def obstore_module() -> ModuleType:
    """Return obstore; raise FsarError if it is not installed."""
    try:
        import obstore
    except ImportError:
        raise FsarError(f"stores on S3 need obstore: {EXTRA}") from None
    return obstore


@cache
def client(bucket: str, prefix: str | None = None) -> S3Store:
    """Return the client of a bucket, or of what is below a prefix."""
    obstore_module()
    from obstore.store import S3Store

    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict = {"client_options": dict(CLIENT), "retry_config": RETRIES}
    if address:
        options["endpoint"] = address
        options["client_options"]["allow_http"] = address.startswith("http://")
    return S3Store(bucket, prefix=prefix, region=region(), **options)
