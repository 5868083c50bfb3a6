"""SEEM from its definition, a cell or a token at a time.

Source: Yang et al., NeurIPS 2022 (focal modulation); Zou et al., NeurIPS 2023 (SEEM) and its configurations. Weights come as a
dictionary of arrays under the names of the module's state. Maps are [height width dim], texts and queries lists of rows.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.dmgal import part


def relu(row: np.ndarray) -> np.ndarray:
    return np.array([max(0.0, v) for v in row])


def gelu(row: np.ndarray) -> np.ndarray:
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in row])


def quick_gelu(row: np.ndarray) -> np.ndarray:
    return np.array([v / (1 + math.exp(-1.702 * v)) for v in row])


def linear(row: np.ndarray, weights: dict) -> np.ndarray:
    return weights["weight"].reshape(len(weights["weight"]), -1) @ row + weights.get("bias", 0.0)


def layer_norm(row: np.ndarray, weights: dict, epsilon: float = 1e-5) -> np.ndarray:
    mean = sum(row) / len(row)
    variance = sum((v - mean) ** 2 for v in row) / len(row)
    return (row - mean) / math.sqrt(variance + epsilon) * weights["weight"] + weights["bias"]


def cells(grid: np.ndarray):
    return np.ndindex(grid.shape[:2])


def each(function, grid: np.ndarray, *others) -> np.ndarray:
    """A function of a row, of every cell."""
    rows = [function(grid[at], *others) for at in cells(grid)]
    return np.array(rows).reshape(*grid.shape[:2], -1)


def convolution(grid: np.ndarray, weights: dict, stride: int = 1, padding: int = 0) -> np.ndarray:
    """Zeros outside; a kernel [out 1 rows columns] is one of a channel each."""
    kernel = weights["weight"]
    alone = kernel.shape[1] == 1
    rows, columns = kernel.shape[2:]
    height = (grid.shape[0] + 2 * padding - rows) // stride + 1
    width = (grid.shape[1] + 2 * padding - columns) // stride + 1
    out = np.zeros((height, width, len(kernel)))
    for y, x in np.ndindex(height, width):
        for i, j in np.ndindex(rows, columns):
            at_y, at_x = y * stride + i - padding, x * stride + j - padding
            if 0 <= at_y < grid.shape[0] and 0 <= at_x < grid.shape[1]:
                here = grid[at_y, at_x]
                out[y, x] += kernel[:, 0, i, j] * here if alone else kernel[:, :, i, j] @ here
        out[y, x] += weights.get("bias", 0.0)
    return out


def group_norm(grid: np.ndarray, weights: dict, groups: int, epsilon: float = 1e-5) -> np.ndarray:
    """Mean and deviation over all cells of a group of neighbouring channels."""
    out, size = np.empty_like(grid), grid.shape[2] // groups
    for group in range(groups):
        here = grid[..., group * size : (group + 1) * size]
        mean = here.sum() / here.size
        variance = ((here - mean) ** 2).sum() / here.size
        out[..., group * size : (group + 1) * size] = (here - mean) / math.sqrt(variance + epsilon)
    return out * weights["weight"] + weights["bias"]


def bilinear(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cells are areas; the new cell's centre is looked up between the four nearest old centres, borders are repeated."""
    out = np.zeros((height, width, grid.shape[2]))
    for y, x in np.ndindex(height, width):
        at_y = min(max(0.0, (y + 0.5) * grid.shape[0] / height - 0.5), grid.shape[0] - 1)
        at_x = min(max(0.0, (x + 0.5) * grid.shape[1] / width - 0.5), grid.shape[1] - 1)
        for i in (int(at_y), int(at_y) + 1):
            for j in (int(at_x), int(at_x) + 1):
                share = max(0.0, 1 - abs(at_y - i)) * max(0.0, 1 - abs(at_x - j))
                if share > 0:
                    out[y, x] += share * grid[i, j]
    return out


# The backbone


def focal_modulation(grid: np.ndarray, weights: dict, levels: int) -> np.ndarray:
    dim = grid.shape[2]
    first = each(linear, grid, part(weights, "f"))
    query, context, gates = first[..., :dim], first[..., dim : 2 * dim], first[..., 2 * dim :]
    total = np.zeros_like(grid)
    for level in range(levels):
        context = convolution(context, part(weights, f"focal_layers.{level}.0"), padding=1 + level)
        context = each(gelu, context)
        for at in cells(grid):
            total[at] += context[at] * gates[at][level]
    mean = gelu(sum(context[at] for at in cells(grid)) / (grid.shape[0] * grid.shape[1]))
    for at in cells(grid):
        total[at] += mean * gates[at][levels]
    out = np.zeros_like(grid)
    for at in cells(grid):
        out[at] = linear(
            query[at] * linear(total[at] / (levels + 1), part(weights, "h")), part(weights, "proj")
        )
    return out


def mlp(row: np.ndarray, weights: dict) -> np.ndarray:
    return linear(gelu(linear(row, part(weights, "fc1"))), part(weights, "fc2"))


def focal_block(grid: np.ndarray, weights: dict, levels: int) -> np.ndarray:
    """With `dw1` among the weights: the block with depthwise convolutions and norms after the sums."""
    inner, norms = part(weights, "modulation"), (part(weights, "norm1"), part(weights, "norm2"))
    if "dw1.weight" not in weights:
        grid = grid + weights["gamma_1"] * each(
            layer_norm, focal_modulation(grid, inner, levels), norms[0]
        )
        return grid + weights["gamma_2"] * each(
            layer_norm, each(mlp, grid, part(weights, "mlp")), norms[1]
        )
    grid = grid + convolution(grid, part(weights, "dw1"), padding=1)
    grid = each(
        layer_norm, grid + weights["gamma_1"] * focal_modulation(grid, inner, levels), norms[0]
    )
    grid = grid + convolution(grid, part(weights, "dw2"), padding=1)
    return each(
        layer_norm, grid + weights["gamma_2"] * each(mlp, grid, part(weights, "mlp")), norms[1]
    )


def focalnet(image: np.ndarray, weights: dict, config) -> list[np.ndarray]:
    """[height width 3] to four maps."""
    stem, maps = part(weights, "patch_embed"), []
    grid = convolution(image, part(stem, "proj"), stride=4, padding=config.stem_padding)
    grid = each(layer_norm, grid, part(stem, "norm"))
    for stage, depth in enumerate(config.depths):
        own = part(weights, f"layers.{stage}")
        for block in range(depth):
            grid = focal_block(grid, part(own, f"blocks.{block}"), config.focal_levels)
        maps.append(each(layer_norm, grid, part(weights, f"norm{stage}")))
        if stage + 1 < len(config.depths):
            grid = convolution(grid, part(own, "downsample.proj"), stride=2, padding=1)
            grid = each(layer_norm, grid, part(own, "downsample.norm"))
    return maps


# What transformers are made of


def attention(
    queries: list, keys: list, values: list, weights: dict, heads: int, allowed=lambda i, j: True
) -> list:
    """Query i looks at those j for which allowed(i, j)."""
    dim = len(weights["in_proj_weight"]) // 3
    width = dim // heads

    def projected(rows, number):
        here = slice(number * dim, (number + 1) * dim)
        return [
            weights["in_proj_weight"][here] @ row + weights["in_proj_bias"][here] for row in rows
        ]

    queries, keys, values = projected(queries, 0), projected(keys, 1), projected(values, 2)
    out = []
    for i, query in enumerate(queries):
        joined = np.zeros(dim)
        for head in range(heads):
            here = slice(head * width, (head + 1) * width)
            seen = [j for j in range(len(keys)) if allowed(i, j)]
            scores = [float(query[here] @ keys[j][here]) / math.sqrt(width) for j in seen]
            high = max(scores)
            shares = [math.exp(score - high) for score in scores]
            for share, j in zip(shares, seen):
                joined[here] += share / sum(shares) * values[j][here]
        out.append(linear(joined, part(weights, "out_proj")))
    return out


def position(number: int, side: int, dim: int) -> np.ndarray:
    """Code of row or column `number` (from 0) in `dim` numbers."""
    v = (number + 1) / (side + 1e-6) * 2 * math.pi
    angles = [v / 10000 ** (2 * (j // 2) / dim) for j in range(dim)]
    return np.array([math.cos(a) if j % 2 else math.sin(a) for j, a in enumerate(angles)])


def positions(height: int, width: int, dim: int) -> list[np.ndarray]:
    """Row first, then column; row by row."""
    return [
        np.concatenate([position(y, height, dim // 2), position(x, width, dim // 2)])
        for y in range(height)
        for x in range(width)
    ]


# The pixel decoder


def encoder_layer(rows: list, places: list, weights: dict, heads: int) -> list:
    placed = [row + place for row, place in zip(rows, places)]
    attended = attention(placed, placed, rows, part(weights, "self_attn"), heads)
    rows = [layer_norm(row + more, part(weights, "norm1")) for row, more in zip(rows, attended)]
    return [layer_norm(row + feed_forward(row, weights), part(weights, "norm2")) for row in rows]


def feed_forward(row: np.ndarray, weights: dict) -> np.ndarray:
    return linear(relu(linear(row, part(weights, "linear1"))), part(weights, "linear2"))


def pixel_decoder(
    maps: list[np.ndarray], weights: dict, config
) -> tuple[list[np.ndarray], np.ndarray]:
    """The three memories and the finest map."""

    def layer(grid, number):
        own = part(weights, f"layer_{number}")
        return each(
            relu, group_norm(convolution(grid, own, padding=1), part(own, "norm"), config.groups)
        )

    grid = each(linear, maps[3], part(weights, "input_proj"))
    rows, shape = [grid[at] for at in cells(grid)], grid.shape
    for number in range(config.encoder_layers):
        places = positions(*shape[:2], config.dim)
        rows = encoder_layer(rows, places, part(weights, f"encoder.{number}"), config.heads)
    grid = layer(np.array(rows).reshape(shape), 4)
    found = [grid]
    for number in (3, 2, 1):
        own = part(weights, f"adapter_{number}")
        lateral = group_norm(each(linear, maps[number - 1], own), part(own, "norm"), config.groups)
        for y, x in cells(lateral):
            lateral[y, x] += grid[y // 2, x // 2]
        grid = layer(lateral, number)
        found.append(grid)
    return found[:3], found[3]


# The language encoder


def language_encoder(numbers: list[int], weights: dict, config) -> list[np.ndarray]:
    """A row a token; the last one is that of the sentence. Every LayerNorm's epsilon is 1e-12."""
    rows = [
        weights["token_embedding.weight"][number] + weights["positional_embedding"][place]
        for place, number in enumerate(numbers)
    ]
    for layer in range(config.text_layers):
        own = part(weights, f"resblocks.{layer}")
        normed = [layer_norm(row, part(own, "ln_1"), 1e-12) for row in rows]
        attended = attention(
            normed, normed, normed, part(own, "attn"), config.heads, lambda i, j: j <= i
        )
        rows = [row + more for row, more in zip(rows, attended)]
        for i, row in enumerate(rows):
            hidden = quick_gelu(
                linear(layer_norm(row, part(own, "ln_2"), 1e-12), part(own, "mlp.c_fc"))
            )
            rows[i] = row + linear(hidden, part(own, "mlp.c_proj"))
    return [
        layer_norm(row, part(weights, "ln_final"), 1e-12) @ weights["lang_proj"] for row in rows
    ]


# The mask decoder


def heads_of(rows: list, weights: dict) -> tuple[list, list]:
    """What a query means, and what its mask is made with."""
    meanings, masks = [], []
    for row in rows:
        normed = layer_norm(row, part(weights, "decoder_norm"))
        meanings.append(normed @ weights["class_embed"])
        hidden = relu(linear(normed, part(weights, "mask_embed.layers.0")))
        hidden = relu(linear(hidden, part(weights, "mask_embed.layers.1")))
        masks.append(linear(hidden, part(weights, "mask_embed.layers.2")))
    return meanings, masks


def allowed_cells(masks: np.ndarray):
    """Masks [cells queries] to (query, cell) -> bool: a query forbidden everywhere is allowed everywhere."""
    inside = 1 / (1 + np.exp(-masks)) >= 0.5
    return lambda query, cell: inside[cell, query] or not inside[:, query].any()


def mask_decoder(
    memories: list, features: np.ndarray, text: list, weights: dict, config
) -> tuple[list, np.ndarray]:
    """Meanings, and mask logits [queries height width] of the size of `features` [height width dim]."""
    values, places = [], []
    for level, memory in enumerate(memories):
        values.append([memory[at] + weights["level_embed.weight"][level] for at in cells(memory)])
        places.append(positions(*memory.shape[:2], config.dim))
    queries, learned = list(weights["query_feat.weight"]), list(weights["query_embed.weight"])
    count, tokens = len(queries), list(text)

    for number in range(config.decoder_layers):
        level, own = number % 3, part(weights, f"layers.{number}")
        logits = np.array([features @ mask for mask in heads_of(queries, weights)[1]])
        small = bilinear(logits.transpose(1, 2, 0), *memories[level].shape[:2]).reshape(-1, count)
        sees = allowed_cells(small)
        cross = part(own, "cross_attention")
        keys = [value + place for value, place in zip(values[level], places[level])]
        asked = [query + place for query, place in zip(queries, learned)]
        found = attention(asked, keys, values[level], part(cross, "attn"), config.heads, sees)
        queries = [
            layer_norm(query + more, part(cross, "norm")) for query, more in zip(queries, found)
        ]

        state, where, both = [*queries, *tokens], [*learned, *text], part(own, "self_attention")
        placed = [row + place for row, place in zip(state, where)]
        found = attention(placed, placed, state, part(both, "attn"), config.heads)
        state = [layer_norm(row + more, part(both, "norm")) for row, more in zip(state, found)]
        ffn = part(own, "ffn")
        state = [layer_norm(row + feed_forward(row, ffn), part(ffn, "norm")) for row in state]
        queries, tokens = state[:count], state[count:]

    meanings, masks = heads_of(queries, weights)
    return meanings, np.array([features @ mask for mask in masks])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = [math.sqrt(sum(v * v for v in row)) + 1e-7 for row in (a, b)]
    return sum(x * y for x, y in zip(a, b)) / (lengths[0] * lengths[1])


def seem(image: np.ndarray, numbers: list[int], weights: dict, config) -> tuple[np.ndarray, float]:
    """Mask logits [height/4 width/4] and score for a normalised and padded image [height width 3] and a text's tokens."""
    decoder = part(weights, "pixel_decoder")
    memories, finest = pixel_decoder(
        focalnet(image, part(weights, "backbone"), config), decoder, config
    )
    features = convolution(finest, part(decoder, "mask_features"), padding=1)
    text = language_encoder(numbers, part(weights, "language_encoder"), config)
    meanings, logits = mask_decoder(memories, features, text, part(weights, "mask_decoder"), config)
    scores = [cosine(meaning, text[-1]) for meaning in meanings]
    best = scores.index(max(scores))
    return logits[best], scores[best]
