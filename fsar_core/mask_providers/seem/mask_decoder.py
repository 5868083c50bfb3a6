"""The mask decoder: learned queries look at the image where their own masks allow it, and at the text.

Source: Zou et al., NeurIPS 2023 (SEEM), after Cheng et al., CVPR 2022 (Mask2Former: masked attention). Only the queries for
text are here: SEEM's other group (for objects) never meets them, and the class names have no say in a text's mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fsar_core.mask_providers.seem.attention import NormedAttention, NormedFeedForward
from fsar_core.mask_providers.seem.config import SeemConfig
from fsar_core.mask_providers.seem.language_encoder import Text
from fsar_core.mask_providers.seem.positions import sine_positions

LEVELS = 3
Queries = Float[Tensor, "batch queries dim"]
Memory = Float[Tensor, "batch patches dim"]


@dataclass(frozen=True)
class Found:
    """What the queries found.

    Attributes:
        meaning: [batch queries dim], to be compared with the vector of a text.
        mask: [batch queries dim]; its product with the mask features is the mask, as logits.
    """

    meaning: Queries
    mask: Queries


class MLP(nn.Module):
    """Three linear layers with ReLUs between them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(3))

    def forward(self, x: Queries) -> Queries:
        first, second, third = self.layers
        return third(F.relu(second(F.relu(first(x)))))


class DecoderLayer(nn.Module):
    """Queries look at one memory, then queries and text at one another, then both pass a feed-forward layer."""

    def __init__(self, config: SeemConfig) -> None:
        super().__init__()
        self.cross_attention = NormedAttention(config.dim, config.heads)
        self.self_attention = NormedAttention(config.dim, config.heads)
        self.ffn = NormedFeedForward(config.dim, config.feed_forward)


def open_cells(
    masks: Float[Tensor, "batch queries patches"],
) -> Bool[Tensor, "batch queries patches"]:
    """Where a query may look: inside its own mask (logits from 0), and everywhere if that is empty."""
    inside = masks >= 0
    return inside | ~inside.any(dim=-1, keepdim=True)


def similarity(
    queries: Queries, sentence: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch queries"]:
    """Cosine of every query with the text, at least in single precision."""
    dtype = torch.promote_types(queries.dtype, torch.float32)
    queries, sentence = (
        x / (x.norm(dim=-1, keepdim=True) + 1e-7) for x in (queries.to(dtype), sentence.to(dtype))
    )
    return torch.einsum("bqd,bd->bq", queries, sentence)


class MaskDecoder(nn.Module):
    """`layers` alternate between the memories, coarsest first."""

    def __init__(self, config: SeemConfig) -> None:
        super().__init__()
        dim = config.dim
        self.query_feat = nn.Embedding(config.queries, dim)
        self.query_embed = nn.Embedding(config.queries, dim)
        self.level_embed = nn.Embedding(LEVELS, dim)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(dim)
        self.class_embed = nn.Parameter(dim**-0.5 * torch.randn(dim, dim))
        self.mask_embed = MLP(dim)

    def forward(
        self,
        memories: list[Float[Tensor, "batch dim height width"]],
        mask_features: list[Float[Tensor, "batch dim height width"]],
        text: Text,
    ) -> Found:
        """
        Args:
            memories: three maps, coarsest first.
            mask_features: the features that masks are made of, resized to each of the three.
            text: a row an image.
        """
        values = [self._value(level, memory) for level, memory in enumerate(memories)]
        keys = [
            value + sine_positions(*memory.shape[-2:], memory.shape[1], memory.device, memory.dtype)
            for value, memory in zip(values, memories)
        ]
        features = [rows.flatten(2) for rows in mask_features]
        batch, count = len(text), self.query_feat.num_embeddings
        queries = self.query_feat.weight.expand(batch, -1, -1)
        places = self.query_embed.weight.expand(batch, -1, -1)
        together = torch.cat(
            [places, text.tokens], dim=1
        )  # the first state of a token is also its position
        present = F.pad(text.present, (count, 0), value=True)[:, None]

        tokens, found = text.tokens, self.heads(queries)
        for number, layer in enumerate(self.layers):
            level = number % LEVELS
            allowed = open_cells(found.mask @ features[level])
            queries = layer.cross_attention(queries, places, keys[level], values[level], allowed)
            state = torch.cat([queries, tokens], dim=1)
            state = layer.ffn(
                layer.self_attention(state, together, state + together, state, present)
            )
            queries, tokens = state[:, :count], state[:, count:]
            found = self.heads(queries)
        return found

    def heads(self, queries: Queries) -> Found:
        normed = self.decoder_norm(queries)
        return Found(normed @ self.class_embed, self.mask_embed(normed))

    def _value(self, level: int, memory: Float[Tensor, "batch dim height width"]) -> Memory:
        return (
            rearrange(memory, "batch dim height width -> batch (height width) dim")
            + self.level_embed.weight[level]
        )
