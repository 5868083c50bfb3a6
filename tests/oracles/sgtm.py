"""SGTM from its equations, one number at a time, in evaluation mode.

Source: "Saliency-Guided Fine-Grained Temporal Mask Learning for Few-Shot Action Recognition", Eq. 1-6; Dosovitskiy et al. for
the block. Weights come as a dictionary of arrays under the names of the module's state. A video is [frames dim].
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.adapters import gelu, linear
from tests.oracles.dmgal import layer_norm, part, sinusoid, weighted


def convolve(rows: np.ndarray, weights: dict) -> np.ndarray:
    """A convolution over the frames of [frames in] with [out in kernel]; beyond the ends are zeros."""
    kernel = weights["weight"]
    out = np.zeros((len(rows), len(kernel)))
    for t, o in np.ndindex(out.shape):
        total = weights["bias"][o]
        for k in range(kernel.shape[2]):
            at = t + k - kernel.shape[2] // 2
            if 0 <= at < len(rows):
                total += sum(kernel[o, c, k] * rows[at, c] for c in range(kernel.shape[1]))
        out[t, o] = total
    return out


def positive(rows: np.ndarray) -> np.ndarray:
    return np.array([[max(0.0, v) for v in row] for row in rows])


def class_scores(video: np.ndarray, weights: dict, rectified: bool = True) -> np.ndarray:
    """Eq. 1: [frames classes]."""
    scores = convolve(positive(convolve(video, part(weights, "inner"))), part(weights, "outer"))
    return positive(scores) if rectified else scores


def actionness(video: np.ndarray, weights: dict, rectified: bool = True) -> list[float]:
    """Eq. 2 before the sigmoid."""
    return [sum(row) for row in class_scores(video, weights, rectified)]


def hidden(scores: list[float], masked: int, strategy: str) -> set[int]:
    """The frames that are hidden: repeatedly the most and the least salient of those that are left, and so on."""
    left = list(range(len(scores)))
    gone = set()

    def most() -> int:
        best = left[0]
        for frame in left:
            if scores[frame] > scores[best]:
                best = frame
        return best

    def least() -> int:
        worst = left[0]
        for frame in left:
            if scores[frame] <= scores[worst]:
                worst = frame
        return worst

    def take(choose) -> None:
        frame = choose()
        left.remove(frame)
        gone.add(frame)

    if strategy == "saliency":
        for _ in range(masked // 2):
            take(most)
            take(least)
    elif strategy == "top":
        for _ in range(masked):
            take(most)
    elif strategy == "bottom":
        for _ in range(masked):
            take(least)
    else:
        visible = len(scores) - masked
        for _ in range(visible // 2):
            take(most)
        for _ in range(visible - visible // 2):
            take(least)
        return set(left)
    return gone


def tokens_of(video: np.ndarray, width: int) -> list[np.ndarray]:
    """Frame by frame, each from its first channel to its last."""
    return [
        frame[start : start + width] for frame in video for start in range(0, len(frame), width)
    ]


def video_of(tokens: list[np.ndarray], frames: int) -> np.ndarray:
    parts = len(tokens) // frames
    return np.array([np.concatenate(tokens[t * parts : (t + 1) * parts]) for t in range(frames)])


def visible_places(frames: int, gone: set[int], parts: int) -> list[int]:
    return [t * parts + k for t in range(frames) if t not in gone for k in range(parts)]


def block(tokens: list[np.ndarray], weights: dict, heads: int) -> list[np.ndarray]:
    width = len(tokens[0])
    normed = [layer_norm(token, part(weights, "norm_1")) for token in tokens]
    qkv = [linear(token, part(weights, "qkv")) for token in normed]
    out = []
    for i, token in enumerate(tokens):
        joined = np.zeros(width)
        for h in range(heads):
            size = width // heads
            q, k, v = (slice(s * width + h * size, s * width + (h + 1) * size) for s in range(3))
            scores = [sum(qkv[i][q] * other[k]) / math.sqrt(size) for other in qkv]
            joined[h * size : (h + 1) * size] = weighted(scores, [other[v] for other in qkv])
        out.append(token + linear(joined, part(weights, "out")))
    return [
        x
        + linear(
            gelu(linear(layer_norm(x, part(weights, "norm_2")), part(weights, "mlp_in"))),
            part(weights, "mlp_out"),
        )
        for x in out
    ]


def blocks(tokens: list[np.ndarray], weights: dict, heads: int) -> list[np.ndarray]:
    for number in sorted(
        {int(name.split(".")[1]) for name in weights if name.startswith("blocks.")}
    ):
        tokens = block(tokens, part(weights, f"blocks.{number}"), heads)
    return tokens


def encode(
    tokens: list[np.ndarray], places: list[int], weights: dict, heads: int, scale: float = 1.0
) -> list[np.ndarray]:
    """Eq. 3: `tokens` lie at `places`."""
    code = sinusoid(max(places) + 1, len(tokens[0]))
    return blocks(
        [token + scale * code[place] for token, place in zip(tokens, places)], weights, heads
    )


def scatter(
    latents: list[np.ndarray], places: list[int], mask_token: np.ndarray, total: int
) -> list[np.ndarray]:
    return [
        latents[places.index(place)] if place in places else mask_token for place in range(total)
    ]


def decode(
    latents: list[np.ndarray],
    places: list[int],
    total: int,
    weights: dict,
    heads: int,
    scale: float = 1.0,
) -> list[np.ndarray]:
    """Eq. 4."""
    tokens = scatter(latents, places, weights["mask_token"], total)
    code = sinusoid(total, len(tokens[0]))
    return blocks(
        [token + scale * code[place] for place, token in enumerate(tokens)], weights, heads
    )


def reconstruction(
    video: np.ndarray,
    gone: set[int],
    weights: dict,
    width: int,
    heads: int,
    scale: float,
    which: str,
) -> float:
    """Eq. 5 of one video, before λ: the mean over tokens of the mean of squared differences."""
    tokens = tokens_of(video, width)
    parts = len(tokens) // len(video)
    places = visible_places(len(video), gone, parts)
    latents = encode(
        [tokens[place] for place in places], places, part(weights, "encoder"), heads, scale
    )
    rebuilt = decode(latents, places, len(tokens), part(weights, "decoder"), heads, scale)
    of_tokens = [sum((a - b) ** 2) / width for a, b in zip(rebuilt, tokens)]
    if which == "masked":
        of_tokens = [error for place, error in enumerate(of_tokens) if place not in places]
    return sum(of_tokens) / len(of_tokens)


def matched(
    video: np.ndarray, weights: dict, width: int, heads: int, scale: float = 1.0
) -> np.ndarray:
    """Eq. 6: [frames dim]."""
    tokens = tokens_of(video, width)
    latents = encode(tokens, list(range(len(tokens))), part(weights, "encoder"), heads, scale)
    return video_of(blocks(latents, part(weights, "metric"), heads), len(video))
