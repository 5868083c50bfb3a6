"""Action-related instance perception: embeddings of what acts in a frame, learned by reconstructing its mask.

Source: Qian et al., "Joint Image-Instance Spatial-Temporal Attention for Few-shot Action Recognition" (I2ST), section 3.3:
Eq. 1 encoder, Eq. 2 decoder, Eq. 3 loss, Fig. 3. The text says only that the encoder is made of 2D convolutions that keep
the size and the decoder of 2D convolutions and upsampling, and that the loss is an L2 distance; nothing on depth, width,
normalisation or the masks' size. Taken here:

    encoder   3x3 dim -> dim/r, ReLU, 3x3 dim/r -> dim/r, ReLU, 1x1 dim/r -> dim, with biases. At dim 2048 and r 8 these
              are the 5.84 M that the parameters of Table 8 leave for it.
    decoder   1x1 dim -> dim/4r, ReLU, twice the size, 3x3, ReLU, twice the size, 3x3 -> 1 channel, with biases and no
              activation at the end: the mask is regressed. Four times the grid: 28x28 for 7x7. 0.17 M.
    loss      mean squared error over pixels and frames; the mask is brought to the decoder's size.

Differs: Eq. 3 sums over k = 1..N without saying what N counts; a mean does not grow with the episode.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.errors import FsarError
from fsar_core.layers.sizes import divide

Grids = Float[Tensor, "*batch dim height width"]
Masks = Float[Tensor, "*batch mask_height mask_width"]


class InstancePerceptionEncoder(nn.Module):
    """IPE, Eq. 1: image features to instance embeddings of the same size. Each frame alone.

    Args:
        dim: channels of the features.
        r: divides `dim`; the convolutions have dim / r channels between them.
        owner: name of the head, for errors.
    """

    def __init__(self, dim: int, r: int = 8, owner: str = "i2st") -> None:
        super().__init__()
        channels = divide(owner, dim, "r", r)
        self.layers = nn.Sequential(
            nn.Conv2d(dim, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, dim, 1),
        )

    def forward(self, images: Grids) -> Grids:
        """Grids in, grids out, [*batch dim height width] with any leading axes."""
        return self.layers(images.flatten(0, -4)).unflatten(0, images.shape[:-3])


class InstancePerceptionDecoder(nn.Module):
    """IPD, Eq. 2: instance embeddings to masks of four times the grid's height and width. Used in training only.

    Args:
        dim: channels of the instance embeddings.
        r: as in the encoder; the decoder has dim / 4r channels, at least 8.
        owner: name of the head, for errors.
    """

    def __init__(self, dim: int, r: int = 8, owner: str = "i2st") -> None:
        super().__init__()
        channels = max(8, divide(owner, dim, "r", r) // 4)  # fewer could all be dead ReLUs
        self.layers = nn.Sequential(
            nn.Conv2d(dim, channels, 1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(channels, 1, 3, padding=1),
        )

    def forward(self, instances: Grids) -> Masks:
        """[*batch dim height width] -> [*batch 4*height 4*width], any leading axes."""
        return self.layers(instances.flatten(0, -4))[:, 0].unflatten(0, instances.shape[:-3])


def mask_loss(
    decoder: InstancePerceptionDecoder, pairs: list[tuple[Grids, Masks]], owner: str = "i2st"
) -> Float[Tensor, ""]:
    """Eq. 3: squared error of the reconstructed masks, mean over pixels and frames of all pairs.

    Args:
        pairs: instance embeddings [*batch dim height width] and their masks [*batch mask_height mask_width], in 0..1. A mask
            with NaN is not known and counts for nothing; the loss is 0 where none is known.

    Raises:
        FsarError: masks of another episode's shape.
    """
    errors = []
    for instances, masks in pairs:
        if masks.shape[:-2] != instances.shape[:-3]:
            raise FsarError(
                f"{owner}: masks must be [{' '.join(map(str, instances.shape[:-3]))} mask_height mask_width] like their "
                f"features, got {list(masks.shape)}"
            )
        masks, instances = masks.float().flatten(0, -3), instances.flatten(0, -4)
        known = ~masks.isnan().flatten(1).any(1)
        found = decoder(instances[known]).float()
        errors.append((found - resized(masks[known], *found.shape[1:])).square())
    errors = torch.cat(errors)
    return errors.mean() if len(errors) else errors.sum()


def resized(
    masks: Float[Tensor, "images _ _"], height: int, width: int
) -> Float[Tensor, "images {height} {width}"]:
    """Shrunk by averaging areas, enlarged bilinearly: a mask keeps its share of foreground either way."""
    smaller = masks.shape[1] >= height and masks.shape[2] >= width
    return F.interpolate(masks[:, None], (height, width), mode="area" if smaller else "bilinear")[
        :, 0
    ]
