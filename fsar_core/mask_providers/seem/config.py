"""Sizes of SEEM's published networks. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SeemConfig:
    """What a SEEM network is built of.

    Attributes:
        channels, depths: of the four stages of the backbone.
        focal_levels: context levels of a focal modulation; level l (from 0) looks through a kernel of 3 + 2 l.
        depthwise: FocalNet's newer block, with depthwise convolutions between its parts and its norms after the sums.
        stem_padding: of the backbone's first convolution.
        dim: channels of everything behind the backbone, text included.
        heads, feed_forward: of all transformer layers.
        groups: of the pixel decoder's GroupNorms.
        encoder_layers: transformer layers of the pixel decoder, on its coarsest map.
        queries, decoder_layers: of the mask decoder.
        text_layers, context, vocabulary: of the language encoder; `context` is the longest text in tokens.
    """

    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    focal_levels: int
    depthwise: bool
    stem_padding: int
    dim: int = 512
    heads: int = 8
    feed_forward: int = 2048
    groups: int = 32
    encoder_layers: int = 6
    queries: int = 101
    decoder_layers: int = 9
    text_layers: int = 12
    context: int = 77
    vocabulary: int = 49408


FOCAL_T = SeemConfig(
    channels=(96, 192, 384, 768),
    depths=(2, 2, 6, 2),
    focal_levels=3,
    depthwise=True,
    stem_padding=3,
)
FOCAL_L = SeemConfig(
    channels=(192, 384, 768, 1536),
    depths=(2, 2, 18, 2),
    focal_levels=4,
    depthwise=False,
    stem_padding=2,
)
