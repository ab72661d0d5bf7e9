"""How far rewards go along with human scores: linear and rank correlations, over all responses and inside groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from guerdon.metrics.formulas import Floats, Ints


def pearson(scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """Linear correlation, cov(s, t) / (sd(s) sd(t)).

    Args:
        scores: rewards, shape (..., n). Constant scores order nothing and give 0, as guessing would on average.
        truth: human scores, shape (..., n). A constant truth leaves nothing to find and gives NaN.
        weights: shape (..., n); None weighs all alike.

    Returns:
        In [-1, 1], shape (...).
    """
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    w = np.ones(a.shape[-1]) if weights is None else np.asarray(weights, dtype=np.float64)
    # Shifted first, so that a constant is exactly 0 and its spread is not the rounding of its mean.
    a, b = a - a[..., :1], b - b[..., :1]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = w.sum(-1, keepdims=True)
        a = a - (w * a).sum(-1, keepdims=True) / total
        b = b - (w * b).sum(-1, keepdims=True) / total
    return _correlation((w * a * b).sum(-1), (w * a * a).sum(-1), (w * b * b).sum(-1))


def spearman(scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """Rank correlation: `pearson` of the midranks (Spearman 1904); constants as there.

    Args:
        scores: rewards, shape (n,).
        truth: human scores, shape (n,).
        weights: shape (..., n), how often each item was drawn; None weighs all alike.

    Returns:
        In [-1, 1], shape (...).
    """
    return pearson(midranks(scores, weights), midranks(truth, weights), weights)


def kendall(scores: ArrayLike, truth: ArrayLike) -> float:
    """Kendall's tau-b, (P - Q) / sqrt((P + Q + T_s)(P + Q + T_t)) (Kendall 1945), in O(n log n) by scipy.

    P and Q are the pairs ordered alike and oppositely, T the pairs tied on one side only. Constants as in `pearson`.
    """
    a, b = np.asarray(scores), np.asarray(truth)
    if len(b) < 2 or np.ptp(b) == 0:
        return float("nan")
    from scipy import stats

    return 0.0 if np.ptp(a) == 0 else float(stats.kendalltau(a, b).statistic)


def spearman_by_group(scores: ArrayLike, truth: ArrayLike, groups: ArrayLike) -> Floats:
    """`spearman` inside each group.

    Args:
        scores: rewards, shape (n,).
        truth: human scores, shape (n,).
        groups: group codes 0..G-1, shape (n,).

    Returns:
        Shape (G,); NaN for a group of constant truth, 0 for constant scores against a truth that varies.
    """
    codes = np.asarray(groups, dtype=np.int64)
    a, b = _centred_ranks(np.asarray(scores), codes), _centred_ranks(np.asarray(truth), codes)
    covariance, left, right = (np.bincount(codes, weights=product) for product in (a * b, a * a, b * b))
    return np.asarray(_correlation(covariance, left, right))


def midranks(values: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Ranks 1..n in which equal values share the mean of their places.

    With whole-number weights, the ranks that the items have when each is repeated so many times:
    r(v) = W(< v) + (W(= v) + 1) / 2, where W sums the weights.

    Args:
        values: shape (n,).
        weights: shape (..., n); None weighs all by 1.

    Returns:
        Shape (..., n).
    """
    array = np.asarray(values)
    w = np.ones(len(array)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(array):
        return np.zeros(w.shape)
    order = np.argsort(array, kind="stable")
    new_value = np.concatenate([[True], np.diff(array[order]) > 0])
    tied = np.add.reduceat(w[..., order], np.flatnonzero(new_value), axis=-1)
    ranks = np.cumsum(tied, axis=-1) - tied + (tied + 1) / 2
    place = np.empty(len(array), dtype=np.int64)
    place[order] = np.cumsum(new_value) - 1
    return np.asarray(ranks[..., place])


def _correlation(covariance: Any, left: Any, right: Any) -> Any:
    """The ratio covariance / sqrt(left * right): NaN where `right` (the truth) is 0, else 0 where `left` is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.clip(covariance / np.sqrt(left * right), -1, 1)
    return np.where(right <= 0, np.nan, np.where(left <= 0, 0.0, value))


def _centred_ranks(values: NDArray[Any], codes: Ints) -> Floats:
    """Midranks inside each group minus the group's mean rank; shape (n,)."""
    _, dense = np.unique(values, return_inverse=True)
    ranks = midranks(codes * (int(dense.max(initial=0)) + 1) + dense)
    means = np.bincount(codes, weights=ranks) / np.maximum(np.bincount(codes), 1)
    return np.asarray(ranks - means[codes])
