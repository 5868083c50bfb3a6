"""Hiding frames of a video from an encoder, and rebuilding them.

Source: "Saliency-Guided Fine-Grained Temporal Mask Learning for Few-Shot Action Recognition"
(SGTM), section 3.2 (which frames are hidden), Eq. 3 (encoder of the visible tokens) and Eq. 4
(decoder). A frame is cut into `parts` tokens; token k of frame t is at place t * parts + k.

Where the text is silent:

    ranks           of equal frames the earlier is more salient.
    Eq. 4, concat   latents go back to the places of their tokens, the mask token to all others.
    PE              fixed sines and cosines of a token's place in the whole video, the same in
                    encoder and decoder; added once, before the blocks, at full size
                    (`position_scale`).
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fsar_core.errors import FsarError
from fsar_core.layers.transformer import Places, PositionedTransformer, Tokens

# Strategies that rank the frames by their actionness.
GUIDED = ("saliency", "top", "bottom", "middle")

FrameScores = Float[Tensor, "videos frames"]
Hidden = Bool[Tensor, "videos frames"]


class TemporalMask(nn.Module):
    """Choose which frames of a video are hidden. It has no parameters.

    The frames are ranked from the most to the least salient; of equal ones the earlier comes first.
    Hidden are

        "saliency"  the first and the last T1 = masked / 2 ranks: the ambiguous frames stay
        "top"       the first `masked` ranks
        "bottom"    the last `masked` ranks
        "middle"    the `masked` ranks in the middle; if these cannot be centered, one rank less
                    stays before than after them
        "random"    as many frames, each choice equally likely, from torch's global generator

    Args:
        frames: of a video, T.
        masked: how many frames are hidden, fewer than `frames`; even under "saliency".
        strategy: one of these.
        owner: name of the head, for errors.

    Raises:
        FsarError: another number of masked frames.

    Example:
        >>> TemporalMask(4, 2, "top")(torch.zeros(1, 4, 8), torch.tensor([[0.1, 0.9, 0.2, 0.8]]))
        tensor([[False,  True, False,  True]])
    """

    def __init__(
        self, frames: int = 8, masked: int = 4, strategy: str = "saliency", owner: str = "sgtm"
    ) -> None:
        super().__init__()
        valid = range(0, frames, 2 if strategy == "saliency" else 1)
        if masked not in valid:
            numbers = ", ".join(map(str, valid))
            raise FsarError(f"{owner}: masked={masked} is not valid; valid: {numbers}")
        self.masked = masked
        self.strategy = strategy
        self.guided = strategy in GUIDED
        ranks = torch.tensor(_hidden_ranks(frames, masked, strategy), dtype=torch.int64)
        self.register_buffer("ranks", ranks, persistent=False)

    def forward(
        self, videos: Float[Tensor, "videos frames dim"], scores: FrameScores | None = None
    ) -> Hidden:
        """Return True where a frame is hidden.

        Args:
            videos: [videos frames dim]
            scores: actionness of the frames, if the strategy is `guided`.
        """
        if not self.guided:
            scores = torch.rand(videos.shape[:2], device=videos.device)
        ranking = scores.sort(dim=-1, descending=True, stable=True).indices
        visible = torch.zeros_like(ranking, dtype=torch.bool)
        return visible.scatter(1, ranking[:, self.ranks], True)


def _hidden_ranks(frames: int, masked: int, strategy: str) -> list[int]:
    """Return the ranks that a strategy hides; 0 is the most salient frame."""
    if strategy == "saliency":
        return [*range(masked // 2), *range(frames - masked // 2, frames)]
    first = {"bottom": frames - masked, "middle": (frames - masked) // 2}.get(strategy, 0)
    return [*range(first, first + masked)]


class MaskDecoder(PositionedTransformer):
    """Eq. 4: latents at their places, the mask token at all others, positions, then blocks.

    Args:
        tokens: of a whole video.
        width: numbers in a token.
        options: as in `PositionedTransformer`.
    """

    def __init__(self, tokens: int, width: int = 512, **options: Any) -> None:
        # Drawn before the blocks: equal seeds give equal weights in all versions.
        mask_token = 0.02 * torch.randn(width)
        super().__init__(tokens, width=width, **options)
        self.mask_token = nn.Parameter(mask_token)

    def forward(self, latents: Tokens, places: Places) -> Tokens:
        """Rebuild the tokens of whole videos from `latents`, which are at `places` in them."""
        return super().forward(scattered(latents, places, self.mask_token, self.tokens))


def visible_places(hidden: Hidden, masked: int, parts: int) -> Places:
    """Return the places of the tokens of all visible frames, ascending.

    Args:
        hidden: `masked` frames of every video.
        parts: tokens of a frame.

    Example:
        >>> visible_places(torch.tensor([[True, False, True]]), masked=2, parts=2)
        tensor([[2, 3]])
    """
    frames = hidden.shape[1]
    visible = hidden.int().argsort(dim=-1, stable=True)[:, : frames - masked]
    places = parts * visible[:, :, None] + torch.arange(parts, device=hidden.device)
    return rearrange(places, "videos visible parts -> videos (visible parts)")


def at_places(tokens: Tokens, places: Places) -> Tokens:
    """Return the tokens at `places`, in their order."""
    index = repeat(places, "videos visible -> videos visible width", width=tokens.shape[-1])
    return tokens.gather(1, index)


def scattered(
    latents: Tokens, places: Places, mask_token: Float[Tensor, " width"], tokens: int
) -> Tokens:
    """Return videos of `tokens` tokens: the latents at their places, the mask token elsewhere."""
    videos, _, width = latents.shape
    everywhere = mask_token.to(latents.dtype).expand(videos, tokens, width)
    index = repeat(places, "videos visible -> videos visible width", width=width)
    return everywhere.scatter(1, index, latents)
