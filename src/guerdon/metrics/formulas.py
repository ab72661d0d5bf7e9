"""How often rewards order pairs as people did: pure functions of numpy arrays, each with its equation and source.

Every statistic that is given with an interval takes `weights` of any leading shape, `(..., n)`, and answers with that
leading shape: a bootstrap resample is a row of whole-number weights, so a thousand resamples are one matrix product.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


def accuracy_ties_half(margins: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """Share of pairs whose chosen response has the higher reward; equal rewards count one half.

        acc = sum_i w_i (1[m_i > 0] + 1[m_i = 0] / 2) / sum_i w_i

    Counting a tie as correct would give a constant scorer accuracy 1; as a half, it gets what guessing gets
    (the AUC of Hanley & McNeil 1982 counts ties so too).

    Args:
        margins: reward(chosen) - reward(rejected), shape (n,), or (n, s) for s scorers at once. NaN makes the result
            NaN: mask first.
        weights: shape (..., n); None weighs all alike.

    Returns:
        In [0, 1], shape (...), or (..., s); NaN where the weights sum to 0.
    """
    outcomes = (np.sign(np.asarray(margins, dtype=np.float64)) + 1) / 2
    return weighted_mean(outcomes, weights)


def length_balanced_accuracy(
    margins: ArrayLike, length_differences: ArrayLike, weights: ArrayLike | None = None
) -> Any:
    """Mean of the accuracy where the longer response won and where the shorter one did.

        acc_lb = (acc[d > 0] + acc[d < 0]) / 2,    d_i = length(chosen_i) - length(rejected_i)

    A reward that only reads length gets exactly 1/2, however much people liked long responses. Pairs of
    equal length take no part.

    Args:
        margins: reward(chosen) - reward(rejected), shape (n,), or (n, s) for s scorers at once.
        length_differences: d, shape (n,), in any unit of length.
        weights: shape (..., n); None weighs all alike.

    Returns:
        In [0, 1], shape (...), or (..., s); NaN where one of the two kinds of pairs is absent.
    """
    differences = np.asarray(length_differences)
    margins = np.asarray(margins, dtype=np.float64)
    return (accuracy_where(margins, differences > 0, weights) + accuracy_where(margins, differences < 0, weights)) / 2


def accuracy_where(margins: ArrayLike, where: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """`accuracy_ties_half` of the pairs for which `where`, shape (n,), is true."""
    mask = np.asarray(where, dtype=bool)
    picked = np.asarray(margins, dtype=np.float64)[mask]
    return accuracy_ties_half(picked, None if weights is None else np.asarray(weights)[..., mask])


def within_group_pairs(
    truth: ArrayLike, groups: ArrayLike, *, limit: int = 400_000, seed: int = 0
) -> tuple[Ints, Ints]:
    """The pairs of items of one group of which people scored one higher.

    Args:
        truth: human scores, shape (n,).
        groups: group codes 0..G-1, shape (n,).
        limit: with more ordered pairs than this (one prompt with 10,000 responses has 10^8), this many are drawn
            without replacement, every one with the same chance.
        seed: random seed of that draw.

    Returns:
        `(better, worse)`: indices into the items, each shape (m,), with truth[better] > truth[worse].
    """
    scores = np.asarray(truth)
    better, worse, _ = pairs_within(groups, limit=limit, seed=seed)
    keep = scores[better] > scores[worse]
    return better[keep], worse[keep]


def pairs_within(groups: ArrayLike, *, limit: int, seed: int = 0) -> tuple[Ints, Ints, Ints]:
    """The ordered pairs of different items of one group, at most `limit` of them, drawn as `within_group_pairs` says.

    Returns:
        `(first, second, group)`: indices into the items and the group's code, each shape (m,). Every pair comes in both
        orders unless some were drawn.
    """
    codes = np.asarray(groups, dtype=np.int64)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    ordered = sizes * (sizes - 1)
    ends, total = np.cumsum(ordered), int(ordered.sum())
    if total > limit:
        ids = np.sort(np.random.default_rng(seed).choice(total, size=limit, replace=False, shuffle=False))
    else:
        ids = np.arange(total)
    group = np.searchsorted(ends, ids, side="right")
    first, second = np.divmod(ids - (ends - ordered)[group], np.maximum(sizes - 1, 1)[group])
    second += second >= first  # an item is not paired with itself
    start = (np.cumsum(sizes) - sizes)[group]
    return order[start + first], order[start + second], np.asarray(group, dtype=np.int64)


def weighted_mean(values: Floats, weights: ArrayLike | None) -> Any:
    """The mean of values of shape (n,) or (n, s) under weights of shape (..., n): shape (...) or (..., s)."""
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = w.sum(-1)
    with np.errstate(invalid="ignore"):
        return (w @ values) / (total[..., None] if values.ndim == 2 else total)
