"""The language encoder: a text transformer, one vector a token and one for the whole text.

Source: Radford et al., ICML 2021 (CLIP's text tower), as SEEM has it: a LayerNorm epsilon of 1e-12, which counts where
embeddings are as small as CLIP's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from fsar_core.mask_providers.seem.attention import Attention, Tokens
from fsar_core.mask_providers.seem.config import SeemConfig
from fsar_core.mask_providers.seem.tokenizer import END, encode

EPSILON = 1e-12


@dataclass(frozen=True)
class Text:
    """Encoded prompts, one a row.

    Attributes:
        tokens: [prompts tokens dim], begin and end included; zeros behind the end of the shorter ones.
        present: [prompts tokens], False behind the end.
        sentence: [prompts dim], the vector of the whole text: that of its end mark.
    """

    tokens: Float[Tensor, "prompts tokens dim"]
    present: Bool[Tensor, "prompts tokens"]
    sentence: Float[Tensor, "prompts dim"]

    def __len__(self) -> int:
        return len(self.sentence)

    def take(self, index: Int64[Tensor, " rows"]) -> Text:
        """The rows of `index`, in its order; a row may come more than once."""
        return Text(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device | str) -> Text:
        return Text(*(getattr(self, field.name).to(device) for field in fields(self)))


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x)"""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class TextLayer(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)). A token sees itself and those before it."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim, eps=EPSILON)
        self.attn = Attention(dim, heads)
        self.ln_2 = nn.LayerNorm(dim, eps=EPSILON)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(dim, hidden), gelu=QuickGELU(), c_proj=nn.Linear(hidden, dim)
            )
        )

    def forward(self, tokens: Tokens) -> Tokens:
        normed = self.ln_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, causal=True)
        return tokens + self.mlp(self.ln_2(tokens))


class LanguageEncoder(nn.Module):
    """Prompts to `Text`. Neither tokens nor sentences are normalised."""

    def __init__(self, config: SeemConfig) -> None:
        super().__init__()
        self.context = config.context
        self.token_embedding = nn.Embedding(config.vocabulary, config.dim)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(config.context, config.dim))
        self.resblocks = nn.ModuleList(
            TextLayer(config.dim, config.heads, config.feed_forward)
            for _ in range(config.text_layers)
        )
        self.ln_final = nn.LayerNorm(config.dim, eps=EPSILON)
        self.lang_proj = nn.Parameter(config.dim**-0.5 * torch.randn(config.dim, config.dim))

    def forward(self, prompts: Sequence[str]) -> Text:
        """Every prompt as it is, in no sentence. FsarError for one without text.

        Tokens are padded to the longest prompt, not to the whole context: what stands behind a text's end cannot change
        what stands before it.
        """
        rows, device = [encode(prompt, self.context) for prompt in prompts], self.lang_proj.device
        lengths = torch.tensor([len(row) for row in rows], device=device)
        longest = max(map(len, rows))
        numbers = torch.tensor([row + [END] * (longest - len(row)) for row in rows], device=device)
        tokens = self.token_embedding(numbers) + self.positional_embedding[:longest]
        for layer in self.resblocks:
            tokens = layer(tokens)
        tokens = self.ln_final(tokens) @ self.lang_proj
        present = torch.arange(longest, device=device) < lengths[:, None]
        sentence = tokens[torch.arange(len(rows), device=device), lengths - 1]
        return Text(tokens * present[..., None], present, sentence)
