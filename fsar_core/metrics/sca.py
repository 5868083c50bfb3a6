"""SCA: negative distance of a query's patches to prototypes that they attend out of a class's patches, frame by frame.

Source: the spatial cross-attention that DMGAL compares as the metric of SA-CT, as found in DMGAL's released code (class
    `spa_cross_transfomer`); SA-CT's own code is not public. Sinusoidal positions of the patches, times 0.1, and dropout
    come first. Frame t's query patches attend to the patches of frame t in all shots of a class with
    softmax(q.k / √dim); distance = Σ |value - attended value|² / (frames² * patches).
Differs: no `norm_v`, which that code creates and never uses (2 * out_dim parameters). Any grid, not 7 x 7 alone.
    Kept although unusual: the scale is that of the input's dim, not of the keys' out_dim, and frames count squared.
"""

from __future__ import annotations

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from fsar_core.components.metric import Metric, check_episode
from fsar_core.components.parameters import PositiveInt, Probability
from fsar_core.layers.distances import attended_distances
from fsar_core.layers.positions import TRX_POSITION_SCALE, sinusoid
from fsar_core.types import GridQuery, GridSupport, Logits


class SCA(Metric):
    """Spatial cross-attention metric.

    Args:
        dim: channels of the features.
        out_dim: channels of keys and values.
        dropout: on the patches, 0 <= dropout < 1.
    """

    spatial = True

    def __init__(
        self, dim: PositiveInt, out_dim: PositiveInt = 1152, dropout: Probability = 0.1
    ) -> None:
        super().__init__()
        self.dim = dim
        self.qk_linear = nn.Linear(dim, out_dim)
        self.v_linear = nn.Linear(dim, out_dim)
        self.norm_qk = nn.LayerNorm(out_dim)
        self.dropout = nn.Dropout(dropout)

    def check(self, support: GridSupport, query: GridQuery) -> None:
        """Raise FsarError if the shapes disagree with each other or with `dim`."""
        check_episode(self, support, query, dim=self.dim)

    def encode(self, clips: Float[Tensor, "... frames dim height width"]) -> tuple[Tensor, Tensor]:
        """Return keys and values [... frames patches out_dim]."""
        return self.embed(
            rearrange(clips, "... frames dim height width -> ... frames (height width) dim")
        )

    def compare(self, support: tuple[Tensor, Tensor], query: tuple[Tensor, Tensor]) -> Logits:
        """Return the negative distance of every query and class, at most 0."""
        frames, patches = query[0].shape[2:4]
        of_support = (
            rearrange(
                part, "batch way shot frames patches dim -> (batch frames) way shot patches dim"
            )
            for part in support
        )
        of_query = (
            rearrange(part, "batch query frames patches dim -> (batch frames) query patches dim")
            for part in query
        )
        distances = attended_distances(*of_query, *of_support, scale=self.dim**-0.5)
        total = reduce(
            distances, "(batch frames) query way -> batch query way", "sum", frames=frames
        )
        return -total / (frames**2 * patches)

    def embed(self, grids: Float[Tensor, "... patches dim"]) -> tuple[Tensor, Tensor]:
        """Keys and values [... patches out_dim]."""
        grids = grids.to(self.v_linear.weight.dtype)
        grids = self.dropout(grids + TRX_POSITION_SCALE * sinusoid(*grids.shape[-2:], like=grids))
        return self.norm_qk(self.qk_linear(grids)), self.v_linear(grids)
