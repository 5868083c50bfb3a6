"""Where a cell of a map lies, as sines and cosines.

Source: Carion et al., ECCV 2020 (DETR), normalised to 2π over a side, as SEEM's pixel decoder and mask decoder take it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sine_positions(
    height: int,
    width: int,
    dim: int,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "patches dim"]:
    """Codes of the cells of a map, row by row; a function of its size alone.

    The first dim/2 numbers say which row, the others which column: numbers 2i and 2i+1 are the sine and the cosine of
    v / 10000^(4i/dim), where v = 2π r / side, r = 1 .. side. The codes of the sides are computed in double precision, on the
    CPU since not every device has that.
    """
    dtype = dtype or torch.get_default_dtype()
    rows, columns = (_of_side(side, dim // 2).to(device, dtype) for side in (height, width))
    return torch.cat(
        [rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=-1
    ).flatten(0, 1)


def _of_side(side: int, dim: int) -> Float[Tensor, "side dim"]:
    number = (
        torch.arange(1, side + 1, dtype=torch.float64, device="cpu") / (side + 1e-6) * 2 * math.pi
    )
    period = 10000 ** (torch.arange(0, dim, 2, dtype=torch.float64, device="cpu") / dim)
    angle = number[:, None] / period
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
