"""Pre-norm transformer blocks on sequences of tokens, alone and in stacks.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021; positions of Vaswani et al.,
"Attention Is All You Need", section 3.5.

The blocks of timm compute the same. These keep the parameter names of existing checkpoints.
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fsar_core.layers.positions import sinusoid

Tokens = Float[Tensor, "videos tokens width"]
Places = Int64[Tensor, "videos visible"]


class TransformerBlock(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x)), over the tokens of each video.

    Dropout follows every dense layer but that of queries, keys and values.

    Args:
        width: numbers in a token.
        heads: of the attention; divides `width`.
        mlp_ratio: width of the MLP's inner layer, in units of `width`.
        dropout: from 0 to below 1.

    Example:
        >>> import torch
        >>> TransformerBlock(width=8, heads=2)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(
        self, width: int, heads: int = 8, mlp_ratio: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width)
        self.norm_2 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_in = nn.Linear(width, mlp_ratio * width)
        self.mlp_out = nn.Linear(mlp_ratio * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform the tokens of each video."""
        tokens = tokens + self.dropout(self.out(self._attention(self.norm_1(tokens))))
        inner = self.dropout(F.gelu(self.mlp_in(self.norm_2(tokens))))
        return tokens + self.dropout(self.mlp_out(inner))

    def _attention(self, tokens: Tokens) -> Tokens:
        queries, keys, values = rearrange(
            self.qkv(tokens),
            "videos tokens (three heads channels) -> three videos heads tokens channels",
            three=3,
            heads=self.heads,
        )
        attended = F.scaled_dot_product_attention(queries, keys, values)
        return rearrange(attended, "videos heads tokens channels -> videos tokens (heads channels)")


class Transformer(nn.Module):
    """A stack of blocks.

    Args:
        layers: blocks; 0 returns the tokens unchanged.
        width, heads, mlp_ratio, dropout: as in `TransformerBlock`.
    """

    def __init__(
        self,
        layers: int = 2,
        width: int = 512,
        heads: int = 8,
        mlp_ratio: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        blocks = (TransformerBlock(width, heads, mlp_ratio, dropout) for _ in range(layers))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform tokens that hold their positions already."""
        return self.blocks(tokens)


class PositionedTransformer(Transformer):
    """A stack of blocks that first adds sinusoidal positions.

    Args:
        tokens: places in a whole sequence.
        layers, width, heads, mlp_ratio, dropout: as in `Transformer`; dropout follows the positions
            as well.
        position_scale: factor of the positions.
    """

    def __init__(
        self,
        tokens: int,
        layers: int = 2,
        width: int = 512,
        heads: int = 8,
        mlp_ratio: int = 2,
        dropout: float = 0.1,
        position_scale: float = 1.0,
    ) -> None:
        super().__init__(layers, width, heads, mlp_ratio, dropout)
        self.tokens = tokens
        self.position_scale = position_scale
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens, places: Places | None = None) -> Tokens:
        """Transform tokens at their places.

        Args:
            tokens: [videos tokens width]
            places: of the tokens in the whole sequence; None for a whole sequence in order.
        """
        positions = self.position_scale * sinusoid(self.tokens, tokens.shape[-1], like=tokens)
        placed = positions if places is None else positions[places]
        return self.blocks(self.dropout(tokens + placed))
