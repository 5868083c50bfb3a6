"""Sinusoidal positions: a fixed code for the place of a token in its sequence.

Source: Vaswani et al., "Attention Is All You Need", section 3.5.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Factor of the positions in TRX's public code, and in the methods that follow it.
TRX_POSITION_SCALE = 0.1


def sinusoid(length: int, channels: int, like: Tensor) -> Float[Tensor, "length channels"]:
    """Sine on even channels, cosine on odd ones, wavelengths from 2π to 10000·2π.

    Args:
        length: number of places.
        channels: size of a token; an odd size ends on a sine.
        like: a tensor whose device and dtype the code takes.
    """
    # At least float32 whatever `like` is: in half precision a place beyond 256 would lose its units.
    exact = torch.promote_types(like.dtype, torch.float32)
    place = torch.arange(length, device=like.device, dtype=exact)[:, None]
    even = torch.arange(0, channels, 2, device=like.device, dtype=exact)
    angle = place * torch.exp(even * (-math.log(10000.0) / channels))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :channels].to(like.dtype)
