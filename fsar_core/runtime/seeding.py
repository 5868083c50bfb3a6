"""All randomness: generators named by a seed and words, independent of the order of calls."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """Return a 63-bit integer that depends on `seed` and every name.

    It is the same on every machine and Python version.

    >>> derive(0, "episodes", "test", 3) == derive(0, "episodes", "test", 3)
    True
    """
    text = "\x1f".join([str(int(seed)), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(seed: int, *names: str | int) -> np.random.Generator:
    """An independent NumPy generator for this seed and these names."""
    return np.random.default_rng(derive(seed, *names))
