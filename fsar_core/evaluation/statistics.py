"""Means, 95 % intervals, paired differences, per-class accuracy and confusion, from the rows of single queries.

Intervals are those of Student's t over episodes. The field reports 1.96 standard errors, which is the same to 0.1 % from 1,000
episodes on, and too narrow for few: with 5 episodes it covers the mean in 88 % of all cases. Intervals cover the
draw of episodes from the test clips, not the choice of the test classes or the training seed.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fsar_core.errors import FsarError


@dataclass(frozen=True)
class Estimate:
    """A mean and the half-width of its 95 % interval, both in percent (or percentage points)."""

    mean: float
    ci95: float
    episodes: int


@functools.cache
def t95(degrees: int) -> float:
    """Standard errors on either side of a mean in a 95 % interval, by Student's t with so many degrees of freedom.

    Example:
        >>> round(t95(29), 3)
        2.045
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def half_width(values: np.ndarray) -> float:
    """Half-width of the 95 % interval of the mean of independent values; NaN for a single one."""
    return (
        float(t95(len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        if len(values) > 1
        else math.nan
    )


def episode_accuracy(queries: pd.DataFrame) -> np.ndarray:
    """float64 [episode]: share of right queries of every episode, in 0..1."""
    return queries.groupby("episode", sort=True)["correct"].mean().to_numpy(np.float64)


def estimate(values: np.ndarray) -> Estimate:
    """Mean over episodes with its interval. `values` are shares (or differences of shares), one an episode."""
    if len(values) < 2:
        raise FsarError(
            f"an interval needs at least 2 episodes, found {len(values)}; raise the number of test episodes"
        )
    return Estimate(100 * values.mean(), 100 * half_width(values), len(values))


def paired_difference(method: pd.DataFrame, plain: pd.DataFrame) -> Estimate:
    """`method` minus `plain` on the same episodes. FsarError where the queries differ."""
    _check_paired(method, plain)
    return estimate(episode_accuracy(method) - episode_accuracy(plain))


def class_gains(method: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """`method` minus `plain` on the queries of every class, as `class_accuracies` has it: class, gain, ci95 (percentage points),
    queries. FsarError where the queries differ."""
    _check_paired(method, plain)
    difference = method["correct"].to_numpy() - plain["correct"].to_numpy()
    return class_accuracies(method.assign(correct=difference)).rename(columns={"accuracy": "gain"})


def class_accuracies(queries: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on the queries of every class.

    The interval is that of the mean over a class's queries, with episodes as clusters: what several queries of one
    episode have in common is counted once. With one query a class and episode it is the usual one.

    Returns:
        One row a class, by id: class, accuracy and ci95 (percent; ci95 is NaN for a class of one episode), queries.
    """
    rows = []
    for class_id, own in queries.groupby("class", sort=True):
        mean, count = own["correct"].mean(), len(own)
        sums = (own["correct"] - mean).groupby(own["episode"]).sum().to_numpy()
        clusters = len(sums)
        half = math.nan
        if clusters > 1:
            error = np.sqrt(clusters / (clusters - 1) * np.square(sums).sum()) / count
            half = 100 * t95(clusters - 1) * error
        rows.append({"class": class_id, "accuracy": 100 * mean, "ci95": half, "queries": count})
    return pd.DataFrame(rows)


def _check_paired(method: pd.DataFrame, plain: pd.DataFrame) -> None:
    keys = ["episode", "clip", "class"]
    if not np.array_equal(method[keys].to_numpy(), plain[keys].to_numpy()):
        raise FsarError(
            "the two results are not of the same test episodes and cannot be paired; run snakemake again"
        )


def per_class(queries: pd.DataFrame, class_names: tuple[str, ...]) -> dict[str, float]:
    """Accuracy in percent of the queries of every class that was asked for."""
    means = queries.groupby("class")["correct"].mean()
    return {class_names[class_id]: 100 * float(value) for class_id, value in means.items()}


def confusion(queries: pd.DataFrame, classes: int) -> np.ndarray:
    """int64 [class predicted]: how often a query of a class was taken for another, over all episodes."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (queries["class"].to_numpy(), queries["predicted"].to_numpy()), 1)
    return counts
