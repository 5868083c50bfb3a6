"""The features that masks are made of, and what SEEM needs of them without making them all.

The features are a convolution of the pixel decoder's finest map, and a mask is their product with a query. SEEM asks for them
resized to three small sizes, and for the mask of one query at full size. Convolution, resize and product are linear and may
change places, which saves two thirds of the largest convolution of the network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Map = Float[Tensor, "batch dim height width"]


class MaskFeatures(nn.Conv2d):
    """A 3x3 convolution with bias. `forward` gives the features themselves, which is what the other methods are compared to."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim, 3, padding=1)

    def resized(
        self, finest: Map, sizes: list[tuple[int, int]]
    ) -> list[Float[Tensor, "batch dim h w"]]:
        """The features resized bilinearly to each of `sizes`, which divide the map's by an even number.

        A cell of such a size is the mean of the four features around its centre; so the map is averaged before it is convolved.
        """
        height, width = finest.shape[-2:]
        means = F.avg_pool2d(finest, 2, stride=1, padding=1, count_include_pad=True)
        found = []
        for h, w in sizes:
            rows, columns = height // h, width // w
            if rows % 2 or columns % 2 or (rows * h, columns * w) != (height, width):
                raise ValueError(f"{height} x {width} is no even multiple of {h} x {w}")
            start = means[..., rows // 2 - 1 :, columns // 2 - 1 :]
            found.append(F.conv2d(start, self.weight, self.bias, stride=(rows, columns)))
        return found

    def mask(
        self, finest: Map, query: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch height width"]:
        """The product of one query an image with the features: a convolution to one channel, of a kernel an image."""
        kernels = torch.einsum("bo,oiyx->biyx", query, self.weight).flatten(2)
        taps = (
            (finest.movedim(1, -1).flatten(1, 2) @ kernels)
            .transpose(1, 2)
            .unflatten(2, finest.shape[-2:])
        )
        shifts = torch.eye(kernels.shape[-1], dtype=taps.dtype, device=taps.device).view(
            1, -1, *self.kernel_size
        )
        return F.conv2d(taps, shifts, padding=1)[:, 0] + (query @ self.bias)[:, None, None]
