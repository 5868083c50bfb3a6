"""Checks of sizes that the heads share."""

from __future__ import annotations

from fsar_core.errors import FsarError, one_of


def whole(owner: str, name: str, value: object, least: int) -> None:
    """FsarError unless `value` is a whole number from `least`."""
    if not isinstance(value, int) or value < least:
        raise FsarError(f"{owner}: {name}={value!r} is not valid; valid: whole numbers from {least}")


def compressed(owner: str, dim: int, name: str, ratio: int) -> int:
    """dim / ratio. FsarError unless `ratio` divides it."""
    whole(owner, "dim", dim, least=1)
    one_of(owner, name, ratio, tuple(divisor for divisor in range(1, dim + 1) if dim % divisor == 0))
    return dim // int(ratio)
