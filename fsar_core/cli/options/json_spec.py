"""Specs that are JSON objects without a class of their own."""

from __future__ import annotations

import json
from typing import Any

from fsar_core.errors import FsarError


def with_keys(text: str, *names: str) -> dict[str, Any]:
    """Return the value of `--spec`, which is a JSON object.

    Raises:
        FsarError: one of these keys is missing.
    """
    value = json.loads(text)
    missing = [name for name in names if name not in value]
    if missing:
        raise FsarError(
            f"--spec: the key '{missing[0]}' is missing; paste the text between the quotes of the "
            f"rule's shell line"
        )
    return value
