"""Intervals by the bootstrap over clusters: rows of one prompt are not independent, so whole prompts are drawn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from guerdon.metrics.formulas import Floats, Ints

_CHUNK_ELEMENTS = 2_000_000
"""Weights held at once by the bootstrap: 16 MB, which stays in cache reach and keeps memory flat for any data size."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its bootstrap interval; `low` and `high` are NaN where no interval can be given."""

    point: float
    low: float = float("nan")
    high: float = float("nan")


def cluster_codes(keys: Sequence[Hashable]) -> Ints:
    """Numbers the distinct keys 0..C-1 in the order of their first appearance; shape (n,)."""
    seen: dict[Hashable, int] = {}
    return np.fromiter((seen.setdefault(key, len(seen)) for key in keys), dtype=np.int64, count=len(keys))


def bootstrap_distribution(
    statistic: Callable[[Floats], NDArray[Any]], clusters: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> Floats:
    """What a statistic is on data sets made by drawing whole clusters with replacement (Davison & Hinkley 1997, 3.8).

    Rows of one prompt are not independent, so prompts are drawn, not rows.

    Args:
        statistic: takes weights, shape (b, n), how often each row was drawn; returns shape (b, ...).
        clusters: cluster codes 0..C-1, shape (n,).
        resamples: number of data sets.
        seed: the same seed draws the same data sets, so statistics of one seed are paired.

    Returns:
        Shape (resamples, ...).
    """
    codes = np.asarray(clusters, dtype=np.int64)
    count = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_ELEMENTS // len(codes))
    parts = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        draws = rng.integers(count, size=(size, count)) + np.arange(size)[:, None] * count
        drawn = np.bincount(draws.ravel(), minlength=size * count).reshape(size, count)
        parts.append(statistic(drawn[:, codes].astype(np.float64)))
    return np.concatenate(parts)


def percentile_interval(point: float, distribution: ArrayLike) -> Interval:
    """The middle 95% of a bootstrap distribution, shape (resamples,); resamples without a value are left out."""
    values = np.asarray(distribution, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values) or np.isnan(point):
        return Interval(float(point))
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(point), float(low), float(high))


def clustered_bootstrap(
    statistic: Callable[[Floats], NDArray[Any]],
    clusters: ArrayLike,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """A statistic with its clustered 95% percentile interval.

    Example:
        >>> margins = np.array([0.3, -0.1, 0.8, 0.2])
        >>> prompts = np.array([0, 0, 1, 2])
        >>> clustered_bootstrap(lambda weights: accuracy_ties_half(margins, weights), prompts).point
        0.75

    Args:
        statistic: takes weights, shape (b, n); returns shape (b,).
        clusters: cluster codes 0..C-1, shape (n,).
        resamples: number of data sets drawn.
        seed: random seed of the draws.

    Returns:
        The interval; without bounds when there are fewer than two clusters, because nothing varies then.
    """
    codes = np.asarray(clusters, dtype=np.int64)
    if not len(codes):
        return Interval(float("nan"))
    point = float(statistic(np.ones((1, len(codes))))[0])
    if codes.max() == 0:
        return Interval(point)
    return percentile_interval(point, bootstrap_distribution(statistic, codes, resamples=resamples, seed=seed))


def mean_interval(values: ArrayLike, clusters: Sequence[Hashable] | None = None) -> Interval:
    """The mean of the finite values with its 95% interval, by drawing clusters (None: every value is one).

    The same draws every time, so intervals of differences of paired values are paired.

    Args:
        values: shape (n,); what is not finite does not count.
        clusters: the key of each value's cluster, n of them.
    """
    array = np.asarray(values, dtype=np.float64)
    there = np.isfinite(array)
    kept = array[there]
    codes = (
        np.arange(len(kept))
        if clusters is None
        else cluster_codes([key for key, is_there in zip(clusters, there, strict=True) if is_there])
    )
    return clustered_bootstrap(lambda weights: weights @ kept / weights.sum(axis=1), codes)
