"""Matching metrics as slow scalar loops over nested lists, written from the equations, and their published numbers.

Every `*_logits` takes one episode: support[way][shot][frames][dim] and query[query][frames][dim] (with a
[height][width] grid inside dim for SCA), as `tensor.tolist()` gives them, and returns logits[query][way].
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from tests.builders import shared

reads_published = pytest.mark.shared(
    "parity/matching_1shot.npz",
    "parity/matching_5shot.npz",
    checks="logits of OTAM, Bi-MHM and TRX against those of public implementations",
)


def published(shot: int) -> dict[str, torch.Tensor]:
    """Random features and what public implementations make of them; support and query as a batch of one episode."""
    path = shared("parity", f"matching_{shot}shot.npz")
    arrays = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    arrays["support"], arrays["query"] = arrays["support"][None], arrays["query"][None]
    return arrays


def dot(x, y):
    total = 0.0
    for a, b in zip(x, y):
        total += a * b
    return total


def mean_of_vectors(vectors):
    return [sum(channel) / len(vectors) for channel in zip(*vectors)]


def mean_of_clips(clips):
    return [mean_of_vectors(frames) for frames in zip(*clips)]


def cosine(x, y, eps):
    return dot(x, y) / (math.sqrt(dot(x, x)) * math.sqrt(dot(y, y)) + eps)


def cosine_distances(query_clip, support_clip, eps):
    return [[1.0 - cosine(x, y, eps) for y in support_clip] for x in query_clip]


def softmin(values, lambda_):
    """-λ log Σ exp(-value/λ), shifted by the minimum so that float64 does not underflow; λ = 0 is the minimum."""
    low = min(values)
    if lambda_ == 0:
        return low
    return low - lambda_ * math.log(sum(math.exp(-(value - low) / lambda_) for value in values))


def otam_cost(distances, lambda_):
    """Cell by cell over the table with a zero column on either side."""
    padded = [[0.0, *row, 0.0] for row in distances]
    end = len(padded[0]) - 1
    cost = [[0.0] * (end + 1) for _ in padded]
    for m in range(1, end + 1):
        cost[0][m] = cost[0][m - 1] + padded[0][m]
    for l in range(1, len(padded)):  # noqa: E741
        for m in range(1, end + 1):
            before = [cost[l - 1][m - 1], cost[l][m - 1]]
            if m in (1, end):
                before.append(cost[l - 1][m])
            cost[l][m] = padded[l][m] + softmin(before, lambda_)
    return cost[-1][end]


def transposed(distances):
    return [list(column) for column in zip(*distances)]


def otam_distance(query_clip, support_clip, lambda_, eps):
    distances = cosine_distances(query_clip, support_clip, eps)
    return otam_cost(distances, lambda_) + otam_cost(transposed(distances), lambda_)


def bimhm_distance(query_clip, support_clip, eps):
    distances = cosine_distances(query_clip, support_clip, eps)
    total = 0.0
    for row in distances:
        total += min(row)
    for column in transposed(distances):
        total += min(column)
    return total


def _over_shots(support, query, shots, distance):
    logits = []
    for query_clip in query:
        row = []
        for clips in support:
            clips = [mean_of_clips(clips)] if shots == "prototype" else clips
            row.append(-sum(distance(query_clip, clip) for clip in clips) / len(clips))
        logits.append(row)
    return logits


def otam_logits(support, query, lambda_, eps=0.01, shots="distance"):
    return _over_shots(support, query, shots, lambda q, s: otam_distance(q, s, lambda_, eps))


def bimhm_logits(support, query, eps=0.01, shots="distance"):
    return _over_shots(support, query, shots, lambda q, s: bimhm_distance(q, s, eps))


def prototype_logits(support, query, similarity, eps=0.01):
    logits = []
    for query_clip in query:
        x, row = mean_of_vectors(query_clip), []
        for clips in support:
            y = mean_of_vectors([frame for clip in clips for frame in clip])
            row.append(
                cosine(x, y, eps)
                if similarity == "cosine"
                else -sum((a - b) ** 2 for a, b in zip(x, y))
            )
        logits.append(row)
    return logits


def position(index, dim):
    """Channel 2i: sin(index / 10000^(2i/dim)); channel 2i+1: the cosine."""
    waves = []
    for channel in range(dim):
        angle = index / 10000.0 ** ((channel - channel % 2) / dim)
        waves.append(math.cos(angle) if channel % 2 else math.sin(angle))
    return waves


def with_positions(vectors, scale=0.1):
    return [[a + scale * b for a, b in zip(x, position(i, len(x)))] for i, x in enumerate(vectors)]


def linear(x, weight, bias):
    return [dot(row, x) + b for row, b in zip(weight, bias)]


def layer_norm(x, weight, bias, eps=1e-5):
    mean = sum(x) / len(x)
    variance = sum((a - mean) ** 2 for a in x) / len(x)
    return [(a - mean) / math.sqrt(variance + eps) * w + b for a, w, b in zip(x, weight, bias)]


def attended_distance(query_keys, query_values, class_keys, class_values, scale):
    """Σ over query tokens of |value - Σ_j softmax_j(scale * key . class_keys[j]) class_values[j]|²."""
    total = 0.0
    for key, value in zip(query_keys, query_values):
        scores = [scale * dot(key, other) for other in class_keys]
        high = max(scores)
        weights = [math.exp(score - high) for score in scores]
        for channel, entry in enumerate(value):
            attended = sum(w * other[channel] for w, other in zip(weights, class_values)) / sum(
                weights
            )
            total += (entry - attended) ** 2
    return total


def trx_logits(support, query, cardinalities, weights):
    """weights[cardinality]: the arrays k_linear.weight ... norm_k.bias as nested lists."""

    def embed(clip, cardinality):
        w, clip = weights[cardinality], with_positions(clip)
        tuples = [
            [a for i in chosen for a in clip[i]]
            for chosen in combinations(range(len(clip)), cardinality)
        ]
        keys = [linear(x, w["k_linear.weight"], w["k_linear.bias"]) for x in tuples]
        keys = [layer_norm(x, w["norm_k.weight"], w["norm_k.bias"]) for x in keys]
        return keys, [linear(x, w["v_linear.weight"], w["v_linear.bias"]) for x in tuples]

    logits = []
    for query_clip in query:
        row = []
        for clips in support:
            total = 0.0
            for cardinality in cardinalities:
                query_keys, query_values = embed(query_clip, cardinality)
                class_keys, class_values = [], []
                for clip in clips:
                    keys, values = embed(clip, cardinality)
                    class_keys, class_values = class_keys + keys, class_values + values
                scale = 1.0 / math.sqrt(len(query_values[0]))
                distance = attended_distance(
                    query_keys, query_values, class_keys, class_values, scale
                )
                total += distance / len(query_keys)
            row.append(-total / len(cardinalities))
        logits.append(row)
    return logits


def sca_logits(support, query, weights):
    """Clips are [frames][dim][height][width]; weights: qk_linear.weight ... norm_qk.bias as nested lists."""

    def embed(frame):
        height, width = len(frame[0]), len(frame[0][0])
        patches = [
            [channel[y][x] for channel in frame] for y in range(height) for x in range(width)
        ]
        patches = with_positions(patches)
        keys = [linear(x, weights["qk_linear.weight"], weights["qk_linear.bias"]) for x in patches]
        keys = [layer_norm(x, weights["norm_qk.weight"], weights["norm_qk.bias"]) for x in keys]
        return keys, [
            linear(x, weights["v_linear.weight"], weights["v_linear.bias"]) for x in patches
        ]

    logits = []
    for query_clip in query:
        row = []
        for clips in support:
            total = 0.0
            for t, frame in enumerate(query_clip):
                query_keys, query_values = embed(frame)
                class_keys, class_values = [], []
                for clip in clips:
                    keys, values = embed(clip[t])
                    class_keys, class_values = class_keys + keys, class_values + values
                scale = 1.0 / math.sqrt(len(frame))
                total += attended_distance(
                    query_keys, query_values, class_keys, class_values, scale
                )
            row.append(-total / (len(query_clip) ** 2 * len(query_keys)))
        logits.append(row)
    return logits
