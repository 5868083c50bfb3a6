"""Relations between sizes that a signature cannot state."""

from __future__ import annotations

from fsar_core.errors import FsarError


def divide(owner: str, dim: int, name: str, divisor: int) -> int:
    """Return `dim / divisor`.

    Args:
        owner: the component, for the message.
        name: of the parameter that holds the divisor.
    Raises:
        FsarError: `divisor` does not divide `dim`.
    """
    valid = [number for number in range(1, dim + 1) if dim % number == 0]
    if divisor not in valid:
        raise FsarError(
            f"{owner}: {name}={divisor!r} is not valid; valid: {', '.join(map(str, valid))}"
        )
    return dim // divisor
