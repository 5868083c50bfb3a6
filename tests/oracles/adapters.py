"""Adapters in a vision transformer from their equations, one number at a time, in evaluation mode.

Source: Guo et al. (DMGAL), Eq. 15-17; Yang et al. (AIM), section 3; Dosovitskiy et al. for the block. Weights come as a
dictionary of arrays under the names of the module's state. A video is [frames tokens dim], its class token first.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracles import dmgal
from tests.oracles.dmgal import layer_norm, part, weighted


def linear(row: np.ndarray, weights: dict) -> np.ndarray:
    out = [sum(w * v for w, v in zip(column, row)) for column in weights["weight"]]
    return np.array(out) + weights["bias"]


def gelu(row: np.ndarray) -> np.ndarray:
    return np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in row])


def attention(rows: list[np.ndarray], block: dict, heads: int) -> list[np.ndarray]:
    """Multi-head self-attention over the rows, which are normed first."""
    normed = [layer_norm(row, part(block, "ln_1")) for row in rows]
    dim = len(rows[0])
    inner = [
        {"weight": w, "bias": b}
        for w, b in zip(*(np.split(block[f"attn.in_proj_{x}"], 3) for x in ("weight", "bias")))
    ]
    q, k, v = ([linear(row, weights) for row in normed] for weights in inner)
    out = []
    for i in range(len(rows)):
        joined = np.zeros(dim)
        for h in range(heads):
            own = slice(h * dim // heads, (h + 1) * dim // heads)
            scores = [sum(q[i][own] * key[own]) / math.sqrt(dim // heads) for key in k]
            joined[own] = weighted(scores, [value[own] for value in v])
        out.append(linear(joined, part(block, "attn.out_proj")))
    return out


def mlp(row: np.ndarray, block: dict) -> np.ndarray:
    """The MLP of the normed row."""
    hidden = gelu(linear(layer_norm(row, part(block, "ln_2")), part(block, "mlp.c_fc")))
    return linear(hidden, part(block, "mlp.c_proj"))


def attend(video: np.ndarray, block: dict, heads: int) -> np.ndarray:
    return video + np.array([attention(list(frame), block, heads) for frame in video])


def feed_forward(video: np.ndarray, block: dict) -> np.ndarray:
    return video + np.array([[mlp(row, block) for row in frame] for frame in video])


def class_tokens(video: np.ndarray, weights: dict) -> np.ndarray:
    """[frames dim]: the normed class tokens."""
    return np.array([layer_norm(frame[0], part(weights, "ln_post")) for frame in video])


def grid(video: np.ndarray) -> np.ndarray:
    """Patches of [frames tokens dim] as [frames dim height width], row by row in a square."""
    frames, tokens, dim = video.shape
    side = round(math.sqrt(tokens - 1))
    out = np.zeros((frames, dim, side, side))
    for i, p, c in np.ndindex(frames, tokens - 1, dim):
        out[i, c, p // side, p % side] = video[i, p + 1, c]
    return out


def down(video: np.ndarray, adapter: dict) -> np.ndarray:
    return np.array([[linear(row, part(adapter, "down")) for row in frame] for frame in video])


def up(
    video: np.ndarray, low: np.ndarray, patches: np.ndarray, adapter: dict, class_token: str
) -> np.ndarray:
    """X + patches · W_up; `low` is X W_down, `patches` [frames patches channels] what became of it."""
    out = video.copy()
    for i in range(len(video)):
        if class_token == "bypass":
            out[i, 0] += linear(low[i, 0], part(adapter, "up"))
        for p, row in enumerate(patches[i]):
            out[i, p + 1] += linear(row, part(adapter, "up"))
    return out


def st_adapter(video: np.ndarray, adapter: dict, class_token: str) -> np.ndarray:
    """Eq. 15 with a 3x1x1 kernel."""
    low = down(video, adapter)
    patches = np.zeros((len(video), video.shape[1] - 1, low.shape[2]))
    for i, p, c in np.ndindex(patches.shape):
        patches[i, p, c] = adapter["operation.conv.bias"][c]
        for k in range(3):
            if 0 <= i + k - 1 < len(video):
                patches[i, p, c] += (
                    adapter["operation.conv.weight"][c, 0, k, 0] * low[i + k - 1, p + 1, c]
                )
    return up(video, low, patches, adapter, class_token)


def smga_adapter(
    video: np.ndarray, adapter: dict, class_token: str, variant: str, end_frames: str
) -> np.ndarray:
    """Eq. 16."""
    low, layer = down(video, adapter), part(adapter, "operation.layer")
    moved = dmgal.self_motion_guided_attention(grid(low), layer, variant, end_frames)
    return up(video, low, np.array([dmgal.tokens(frame) for frame in moved]), adapter, class_token)


def cmga_adapter(
    support: np.ndarray,
    query: np.ndarray,
    adapter: dict,
    class_token: str,
    variant: str,
    end_frames: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 17 on one episode: support [way shot frames tokens dim], query [query frames tokens dim]."""
    low_support = np.array([[down(video, adapter) for video in shots] for shots in support])
    low_query = np.array([down(video, adapter) for video in query])
    moved_support, moved_query = dmgal.cross_motion_guided_attention(
        np.array([[grid(low) for low in shots] for shots in low_support]),
        np.array([grid(low) for low in low_query]),
        part(adapter, "operation.layer"),
        variant,
        end_frames,
        "frame_wise",
    )
    out_support, out_query = support.copy(), query.copy()
    for n, k in np.ndindex(support.shape[:2]):
        patches = np.array([dmgal.tokens(frame) for frame in moved_support[n, k]])
        out_support[n, k] = up(support[n, k], low_support[n, k], patches, adapter, class_token)
    for m in range(len(query)):
        patches = np.array([dmgal.tokens(frame) for frame in moved_query[m]])
        out_query[m] = up(query[m], low_query[m], patches, adapter, class_token)
    return out_support, out_query


def aim_block(
    video: np.ndarray, block: dict, adapters: dict, heads: int, scale: float
) -> np.ndarray:
    """AIM's temporal, spatial and joint adaptation of one block."""

    def adapter(row: np.ndarray, name: str) -> np.ndarray:
        hidden = gelu(linear(row, part(adapters, f"{name}.down")))
        return linear(hidden, part(adapters, f"{name}.up"))

    frames, tokens, _ = video.shape
    after_time = video.copy()
    for t in range(tokens):
        over_frames = attention([video[i, t] for i in range(frames)], block, heads)
        for i in range(frames):
            after_time[i, t] += adapter(over_frames[i], "temporal")
    after_space = after_time.copy()
    for i in range(frames):
        for t, row in enumerate(attention(list(after_time[i]), block, heads)):
            after_space[i, t] += row + adapter(row, "spatial")
    out = after_space.copy()
    for i, t in np.ndindex(frames, tokens):
        row = after_space[i, t]
        out[i, t] += mlp(row, block) + scale * adapter(
            layer_norm(row, part(block, "ln_2")), "joint"
        )
    return out
