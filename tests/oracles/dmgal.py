"""DMGAL from its equations, one number at a time, in evaluation mode.

Source: Guo et al. (DMGAL), Eq. 1-14. Weights come as a dictionary of arrays under the names of the module's state.
Sign, upsampling and softmax by `variant`, the frames without a neighbour by `end_frames`; see fsar_core/heads/dmgal.py.
"""

from __future__ import annotations

import math

import numpy as np

EPS = 1e-5  # of BatchNorm and LayerNorm


def part(weights: dict, prefix: str) -> dict:
    """The weights of one sub-module, under their names inside it."""
    return {
        name[len(prefix) + 1 :]: value
        for name, value in weights.items()
        if name.startswith(prefix + ".")
    }


def dense(grid: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Zero-padded convolution of [channels height width] with [out in rows columns]."""
    channels, height, width = grid.shape
    rows, columns = kernel.shape[2:]
    out = np.zeros((kernel.shape[0], height, width))
    for o in range(kernel.shape[0]):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    for i in range(rows):
                        for j in range(columns):
                            at_y, at_x = y + i - rows // 2, x + j - columns // 2
                            if 0 <= at_y < height and 0 <= at_x < width:
                                out[o, y, x] += kernel[o, c, i, j] * grid[c, at_y, at_x]
    return out


def depthwise(grid: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The same, each channel with its own [1 rows columns]."""
    return np.stack([dense(grid[c : c + 1], kernel[c : c + 1])[0] for c in range(len(grid))])


def batch_norm(grid: np.ndarray, weights: dict) -> np.ndarray:
    out = np.empty_like(grid)
    for c in range(len(grid)):
        scale = weights["weight"][c] / math.sqrt(weights["running_var"][c] + EPS)
        out[c] = (grid[c] - weights["running_mean"][c]) * scale + weights["bias"][c]
    return out


def halve(grid: np.ndarray) -> np.ndarray:
    """2x2 average pooling that drops an odd last row or column and leaves an axis of length 1 alone."""
    channels, height, width = grid.shape
    step_y, step_x = min(2, height), min(2, width)
    out = np.zeros((channels, height // step_y, width // step_x))
    for c, y, x in np.ndindex(out.shape):
        block = [
            grid[c, y * step_y + i, x * step_x + j] for i in range(step_y) for j in range(step_x)
        ]
        out[c, y, x] = sum(block) / len(block)
    return out


def enlarge(grid: np.ndarray, height: int, width: int, variant: str) -> np.ndarray:
    """Bilinear ("paper") or nearest ("released") upsampling; pixels are areas, borders are repeated."""
    channels, small_height, small_width = grid.shape
    out = np.zeros((channels, height, width))
    for c, y, x in np.ndindex(out.shape):
        if variant == "released":
            out[c, y, x] = grid[c, y * small_height // height, x * small_width // width]
            continue
        at_y = max(0.0, (y + 0.5) * small_height / height - 0.5)
        at_x = max(0.0, (x + 0.5) * small_width / width - 0.5)
        top, left = int(at_y), int(at_x)
        bottom, right = min(top + 1, small_height - 1), min(left + 1, small_width - 1)
        down, across = at_y - top, at_x - left
        out[c, y, x] = (
            (1 - down) * (1 - across) * grid[c, top, left]
            + (1 - down) * across * grid[c, top, right]
            + down * (1 - across) * grid[c, bottom, left]
            + down * across * grid[c, bottom, right]
        )
    return out


def tokens(grid: np.ndarray) -> np.ndarray:
    """[channels height width] -> [patches channels], row by row."""
    return np.array([grid[:, y, x] for y in range(grid.shape[1]) for x in range(grid.shape[2])])


def motion_map(frame: np.ndarray, neighbour: np.ndarray, weights: dict, variant: str) -> np.ndarray:
    """Eq. 1-3 for one pair of compressed frames. [patches channels]"""
    difference = frame - depthwise(neighbour, weights["phi2.weight"])
    if variant == "released":
        difference = -difference
    fine = batch_norm(
        dense(difference, weights["scales.fine.0.weight"]), part(weights, "scales.fine.1")
    )
    coarse = batch_norm(
        dense(halve(difference), weights["scales.coarse.0.weight"]),
        part(weights, "scales.coarse.1"),
    )
    coarse = enlarge(coarse, *difference.shape[1:], variant)
    return tokens(dense((difference + fine + coarse) / 3, weights["scales.mix.weight"]))


def motion(video: np.ndarray, weights: dict, variant: str) -> list[dict[str, np.ndarray | None]]:
    """Both directions of every frame of [frames dim height width]; None where there is no neighbour."""
    here = list(video)
    if "compress.0.weight" in weights:
        here = [
            batch_norm(dense(frame, weights["compress.0.weight"]), part(weights, "compress.1"))
            for frame in video
        ]
    last = len(video) - 1
    return [
        {
            "backward": None if i == last else motion_map(here[i], here[i + 1], weights, variant),
            "forward": None if i == 0 else motion_map(here[i], here[i - 1], weights, variant),
        }
        for i in range(len(video))
    ]


def values(video: np.ndarray, kernel: np.ndarray) -> list[np.ndarray]:
    """Φ3: [dim 1 3 3] over the grid or [dim 1 3 1] over the frames. One [patches dim] per frame."""
    if kernel.shape[2:] == (3, 3):
        return [tokens(depthwise(frame, kernel)) for frame in video]
    out = np.zeros_like(video)
    for i, c, y, x in np.ndindex(video.shape):
        for k in range(3):
            if 0 <= i + k - 1 < len(video):
                out[i, c, y, x] += kernel[c, 0, k, 0] * video[i + k - 1, c, y, x]
    return [tokens(frame) for frame in out]


def sinusoid(patches: int, channels: int) -> np.ndarray:
    out = np.zeros((patches, channels))
    for place, c in np.ndindex(out.shape):
        angle = place / 10000 ** ((c - c % 2) / channels)
        out[place, c] = math.cos(angle) if c % 2 else math.sin(angle)
    return out


def layer_norm(row: np.ndarray, weights: dict) -> np.ndarray:
    mean = sum(row) / len(row)
    variance = sum((v - mean) ** 2 for v in row) / len(row)
    return (row - mean) / math.sqrt(variance + EPS) * weights["weight"] + weights["bias"]


def weighted(scores: list[float], rows: list[np.ndarray]) -> np.ndarray:
    """softmax(scores) · rows"""
    largest = max(scores)
    weight = [math.exp(score - largest) for score in scores]
    return sum(w * row for w, row in zip(weight, rows)) / sum(weight)


def attend(query: dict, keys: list[tuple[dict, np.ndarray]], variant: str) -> np.ndarray:
    """One patch: `query` and each key hold a row per direction, or None; each key comes with its value.

    A direction that either side lacks adds nothing to the paper's sum. In the released mean, a direction that the query
    lacks is left out, and a key that lacks it is not attended to.
    """
    if variant == "paper":
        scores = []
        for key, _ in keys:
            terms = [
                d for d in ("backward", "forward") if query[d] is not None and key[d] is not None
            ]
            scores.append(sum(np.dot(query[d], key[d]) / math.sqrt(len(query[d])) for d in terms))
        return weighted(scores, [value for _, value in keys])
    results = []
    for d in ("backward", "forward"):
        if query[d] is not None:
            there = [(key[d], value) for key, value in keys if key[d] is not None]
            scores = [np.dot(query[d], row) / math.sqrt(len(row)) for row, _ in there]
            results.append(weighted(scores, [value for _, value in there]))
    return sum(results) / len(results)


def prepare(
    maps: list[dict], code, channels: int, patches: int, end_frames: str
) -> list[list[dict]]:
    """Frames of patches of {direction: row}, each row passed through `code(patch, row)`; zero maps written as zeros."""
    frames = []
    for pair in maps:
        rows = [{} for _ in range(patches)]
        for direction, grid in pair.items():
            for p in range(patches):
                if grid is None and end_frames == "valid":
                    rows[p][direction] = None
                else:
                    rows[p][direction] = code(p, np.zeros(channels) if grid is None else grid[p])
        frames.append(rows)
    return frames


def grid_of(rows: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """[patches dim] -> [dim height width]"""
    out = np.zeros((len(rows[0]), height, width))
    for p, row in enumerate(rows):
        out[:, p // width, p % width] = row
    return out


def self_motion_guided_attention(
    video: np.ndarray, weights: dict, variant: str, end_frames: str
) -> np.ndarray:
    """Eq. 4-7 on one video [frames dim height width]."""
    height, width = video.shape[2:]
    channels = len(weights["motion.phi2.weight"])
    position = 0.1 * sinusoid(height * width, channels)
    maps = motion(video, part(weights, "motion"), variant)
    frames = prepare(maps, lambda p, row: row + position[p], channels, height * width, end_frames)
    value = values(video, weights["phi3.conv.weight"])
    out = np.zeros_like(video)
    for i, patches in enumerate(frames):
        keys = [(patches[p], value[i][p]) for p in range(height * width)]
        attended = grid_of([attend(patch, keys, variant) for patch in patches], height, width)
        out[i] = weights["lambda_"] * attended + video[i]
    return out


def temporal_channel_mixer(video: np.ndarray, weights: dict) -> np.ndarray:
    """Eq. 8-9 on one video [frames dim height width]."""

    def mlp(column: np.ndarray, name: str) -> np.ndarray:
        hidden = weights[f"{name}_in.weight"] @ column + weights[f"{name}_in.bias"]
        hidden = np.array([max(0.0, v) for v in hidden])
        return weights[f"{name}_out.weight"] @ hidden + weights[f"{name}_out.bias"]

    frames, dim, height, width = video.shape
    mixed = np.zeros_like(video)
    for c, y, x in np.ndindex(dim, height, width):
        mixed[:, c, y, x] = mlp(video[:, c, y, x], "temporal") + video[:, c, y, x]
    out = np.zeros_like(video)
    for i, y, x in np.ndindex(frames, height, width):
        out[i, :, y, x] = mlp(mixed[i, :, y, x], "channel") + mixed[i, :, y, x]
    return out


def cross_motion_guided_attention(
    support: np.ndarray, query: np.ndarray, weights: dict, variant: str, end_frames: str, scope: str
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 10-14 on one episode: support [way shot frames dim height width], query [query frames dim height width]."""
    frames, _, height, width = query.shape[1:]
    channels = len(weights["motion.phi2.weight"])
    videos = [support[n, k] for n in range(support.shape[0]) for k in range(support.shape[1])]

    def rows(video: np.ndarray) -> list[list[dict]]:
        maps = motion(video, part(weights, "motion"), variant)
        patches = video.shape[2] * video.shape[3]
        return prepare(
            maps,
            lambda p, row: layer_norm(row, part(weights, "norm")),
            channels,
            patches,
            end_frames,
        )

    support_rows = [rows(video) for video in videos]
    support_values = [values(video, weights["phi3.conv.weight"]) for video in videos]
    keys = [
        [
            (patch, support_values[s][i][p])
            for s in range(len(videos))
            for p, patch in enumerate(support_rows[s][i])
        ]
        for i in range(frames)
    ]
    every_key = [key for frame in keys for key in frame]

    query_out = np.zeros_like(query)
    for m, video in enumerate(query):
        own = values(video, weights["phi3.conv.weight"])
        for i, patches in enumerate(rows(video)):
            there = every_key if scope == "frame_all" else keys[i]
            attended = grid_of([attend(patch, there, variant) for patch in patches], height, width)
            own_grid = grid_of(list(own[i]), height, width)
            query_out[m, i] = (
                weights["lambda_1"] * attended + weights["lambda_2"] * own_grid + video[i]
            )

    support_out = np.zeros_like(support)
    for s, video in enumerate(videos):
        n, k = divmod(s, support.shape[1])
        for i in range(frames):
            own_grid = grid_of(list(support_values[s][i]), *support.shape[4:])
            support_out[n, k, i] = weights["lambda_2"] * own_grid + video[i]
    return support_out, query_out
