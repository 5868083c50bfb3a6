"""Multi-head attention and feed-forward layers under the names that SEEM's parameters have.

Source: Vaswani et al., NeurIPS 2017. torch's own MultiheadAttention takes a mask per head; here one mask serves all heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

Tokens = Float[Tensor, "batch tokens dim"]


class Attention(nn.Module):
    """Queries, keys and values each projected (`in_proj` holds the three in that order), softmax of the scaled products."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(
        self,
        query: Tokens,
        key: Float[Tensor, "batch others dim"],
        value: Float[Tensor, "batch others dim"],
        allowed: Bool[Tensor, "batch rows others"] | None = None,
        causal: bool = False,
    ) -> Tokens:
        """
        Args:
            allowed: which others a token may look at, a row a token or one row for all; every token needs one.
            causal: a token sees itself and those before it.
        """
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            rearrange(
                F.linear(x, w, b),
                "batch tokens (heads dim) -> batch heads tokens dim",
                heads=self.heads,
            )
            for x, w, b in zip((query, key, value), weights, biases)
        )
        mask = None if allowed is None else allowed[:, None]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.out_proj(rearrange(out, "batch heads tokens dim -> batch tokens (heads dim)"))


class NormedAttention(nn.Module):
    """norm(x + attention): a layer of the mask decoder."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        tokens: Tokens,
        positions: Float[Tensor, "#batch tokens dim"],
        key: Float[Tensor, "batch others dim"],
        value: Float[Tensor, "batch others dim"],
        allowed: Bool[Tensor, "batch rows others"] | None = None,
    ) -> Tokens:
        return self.norm(tokens + self.attn(tokens + positions, key, value, allowed))


class NormedFeedForward(nn.Module):
    """norm(x + linear(relu(linear(x)))): a layer of the mask decoder."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tokens) -> Tokens:
        return self.norm(tokens + self.linear2(F.relu(self.linear1(tokens))))
