"""I2ST from its equations, one number at a time, in evaluation mode.

Source: Qian et al. (I2ST), Eq. 1-6, with what the head and its layers take where the text is silent. Weights
come as a dictionary of arrays under the names of the module's state.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracles import matching
from tests.oracles.dmgal import dense, enlarge, layer_norm, part, sinusoid


def convolution(grid: np.ndarray, weights: dict, name: str) -> np.ndarray:
    out = dense(grid, weights[f"{name}.weight"])
    for o in range(len(out)):
        out[o] += weights[f"{name}.bias"][o]
    return out


def relu(grid: np.ndarray) -> np.ndarray:
    out = grid.copy()
    for at in np.ndindex(grid.shape):
        out[at] = max(0.0, grid[at])
    return out


def encoder(frame: np.ndarray, weights: dict) -> np.ndarray:
    """Eq. 1 on one frame [dim height width]."""
    for name in ("layers.0", "layers.2"):
        frame = relu(convolution(frame, weights, name))
    return convolution(frame, weights, "layers.4")


def decoder(frame: np.ndarray, weights: dict) -> np.ndarray:
    """Eq. 2 on one frame of instance embeddings; [4*height 4*width]."""
    height, width = frame.shape[1:]
    frame = relu(convolution(frame, weights, "layers.0"))
    frame = relu(convolution(enlarge(frame, 2 * height, 2 * width, "paper"), weights, "layers.3"))
    return convolution(enlarge(frame, 4 * height, 4 * width, "paper"), weights, "layers.6")[0]


def shrink(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each pixel is the mean of the pixels that its area touches."""
    out = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        rows = range(y * mask.shape[0] // height, -(-(y + 1) * mask.shape[0] // height))
        columns = range(x * mask.shape[1] // width, -(-(x + 1) * mask.shape[1] // width))
        block = [mask[i, j] for i in rows for j in columns]
        out[y, x] = sum(block) / len(block)
    return out


def mask_loss(frames: list[np.ndarray], masks: list[np.ndarray], weights: dict) -> float:
    """Eq. 3 on instance embeddings and masks, frame by frame."""
    total, count = 0.0, 0
    for frame, mask in zip(frames, masks):
        found = decoder(frame, weights)
        if mask.shape[0] >= found.shape[0] and mask.shape[1] >= found.shape[1]:
            wanted = shrink(mask, *found.shape)
        else:
            wanted = enlarge(mask[None], *found.shape, "paper")[0]
        for at in np.ndindex(found.shape):
            total += (found[at] - wanted[at]) ** 2
            count += 1
    return total / count


def multi_head_attention(
    tokens: list, attended_to: list, weights: dict, heads: int, residual: bool
) -> list:
    """MHA: `tokens` ask, `attended_to` gives keys and values; both are lists of rows."""
    norm = part(weights, "norm")
    inner = len(weights["query.weight"])
    width = inner // heads
    queries = [weights["query.weight"] @ layer_norm(row, norm) for row in tokens]
    both = [weights["key_value.weight"] @ layer_norm(row, norm) for row in attended_to]
    keys, values = [row[:inner] for row in both], [row[inner:] for row in both]
    out = []
    for row, query in zip(tokens, queries):
        joined = np.zeros(inner)
        for head in range(heads):
            here = slice(head * width, (head + 1) * width)
            scores = [np.dot(query[here], key[here]) / math.sqrt(width) for key in keys]
            high = max(scores)
            shares = [math.exp(score - high) for score in scores]
            for share, value in zip(shares, values):
                joined[here] += share / sum(shares) * value[here]
        result = weights["out.weight"] @ joined + weights["out.bias"]
        out.append(row + result if residual else result)
    return out


def feed_forward(row: np.ndarray, weights: dict) -> np.ndarray:
    hidden = weights["layers.0.weight"] @ row + weights["layers.0.bias"]
    hidden = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in hidden])
    return row + weights["layers.3.weight"] @ hidden + weights["layers.3.bias"]


def branch(
    images: list, instances: list | None, weights: dict, heads: int, residual: bool, fusion: str
) -> list:
    """Eq. 4 on one sequence of tokens; no instances: image features alone."""
    own = part(weights, "attention")
    if instances is not None and fusion == "cross":
        summed = multi_head_attention(instances, images, own, heads, residual)
    else:
        summed = multi_head_attention(images, images, own, heads, residual)
        if instances is not None:
            other = part(weights, "instance_attention")
            more = multi_head_attention(instances, instances, other, heads, residual)
            summed = [a + b for a, b in zip(summed, more)]
    return [feed_forward(row, part(weights, "feed_forward")) for row in summed]


def spatial_temporal_attention(
    images: np.ndarray,
    instances: np.ndarray | None,
    weights: dict,
    heads: int,
    residual: bool,
    fusion: str,
) -> np.ndarray:
    """Eq. 4 and the first line of Eq. 5 on one video [frames dim height width]; [frames dim]."""
    frames, dim, height, width = images.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    out = np.zeros((frames, dim))
    if any(name.startswith("spatial.") for name in weights):
        for t in range(frames):
            here = [images[t, :, y, x] for y, x in places]
            there = None if instances is None else [instances[t, :, y, x] for y, x in places]
            for row in branch(here, there, part(weights, "spatial"), heads, residual, fusion):
                out[t] += row / len(places)
    if any(name.startswith("temporal.") for name in weights):
        for y, x in places:
            here = [images[t, :, y, x] for t in range(frames)]
            there = None if instances is None else [instances[t, :, y, x] for t in range(frames)]
            for t, row in enumerate(
                branch(here, there, part(weights, "temporal"), heads, residual, fusion)
            ):
                out[t] += row / len(places)
    return out


def global_fusion(frames: np.ndarray, weights: dict, heads: int, residual: bool) -> np.ndarray:
    """Eq. 5, second line, on one video [frames dim]; [1+frames dim]."""
    entries = [weights["token"], *frames]
    code = weights.get("positions", sinusoid(len(entries), frames.shape[1]))
    entries = [row + place for row, place in zip(entries, code)]
    return np.array(
        multi_head_attention(entries, entries, part(weights, "attention"), heads, residual)
    )


def video(
    images: np.ndarray, weights: dict, heads: int, residual: bool = True, fusion: str = "self"
) -> np.ndarray:
    """The whole head on one video [frames dim height width]; [1+frames dim]."""
    instances = None
    if any(name.startswith("encoder.") for name in weights):
        instances = np.array([encoder(frame, part(weights, "encoder")) for frame in images])
    frames = spatial_temporal_attention(
        images, instances, part(weights, "attention"), heads, residual, fusion
    )
    return global_fusion(frames, part(weights, "fusion"), heads, residual)


def cross_entropy(scores: list[float], right: int) -> float:
    high = max(scores)
    return high + math.log(sum(math.exp(score - high) for score in scores)) - scores[right]


def contrastive_loss(
    support: np.ndarray, query: np.ndarray, labels: list[int], eps: float = 0.01
) -> float:
    """One episode: support [way shot tokens dim], query [query tokens dim]; tokens are the global one, then the frames."""
    prototypes = [sum(clips) / len(clips) for clips in support]
    total = 0.0
    for clip, label in zip(query, labels):
        from_query, from_support = [], []
        for prototype in prototypes:
            from_query.append(
                -sum(1 - matching.cosine(frame, prototype[0], eps) for frame in clip[1:])
            )
            from_support.append(
                -sum(1 - matching.cosine(frame, clip[0], eps) for frame in prototype[1:])
            )
        total += cross_entropy(from_query, label) + cross_entropy(from_support, label)
    return total / len(query)


def class_loss(videos: list[np.ndarray], ids: list[int], weights: dict) -> float:
    """Every video [tokens dim] with the number of its training class."""
    total = 0.0
    for tokens, right in zip(videos, ids):
        mean = sum(tokens) / len(tokens)
        total += cross_entropy(list(weights["weight"] @ mean + weights["bias"]), right)
    return total / len(videos)


def global_local_logits(
    support: list, query: list, local, eps: float = 0.01, divide: bool = False
) -> list[list[float]]:
    """Eq. 6 on one episode of nested lists, the global token first in every clip.

    Args:
        local: (support, query) -> logits of one episode, or None; it gets the class means as its one shot.
    """
    prototypes = [[matching.mean_of_clips(clips)] for clips in support]
    frames = len(query[0]) - 1
    logits = [[0.0] * len(support) for _ in query]
    if local is not None:
        found = local(
            [[clip[1:] for clip in clips] for clips in prototypes], [clip[1:] for clip in query]
        )
        logits = [[value / (2 * frames) if divide else value for value in row] for row in found]
    for m, clip in enumerate(query):
        for n, (prototype,) in enumerate(prototypes):
            logits[m][n] += matching.cosine(clip[0], prototype[0], eps)
    return logits
