"""What the highest rewards pick: gain of a ranking, and the best of several responses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from guerdon.metrics.formulas import Floats


def ndcg(scores: ArrayLike, relevance: ArrayLike, k: int = 10, *, exponential: bool = False) -> float:
    """Normalised discounted cumulative gain of the k highest scores (Jarvelin & Kekalainen 2002).

        DCG@k = sum_{i<=k} gain(i) / log2(i + 1),    nDCG@k = DCG@k / DCG@k of the ideal order

    Equal scores share the mean gain of their places (McSherry & Najork 2008), so the order of the file gives nothing.

    Args:
        scores: rewards, shape (n,).
        relevance: human scores, shape (n,). If any is below 0, all are shifted so that the least is 0.
        k: places that count.
        exponential: gain 2^relevance - 1 (Burges et al. 2005), usual for small grades; else the relevance itself.

    Returns:
        In [0, 1]; NaN when all items are equally relevant.
    """
    rewards, gains = np.asarray(scores, dtype=np.float64), np.asarray(relevance, dtype=np.float64)
    if not len(gains) or np.ptp(gains) == 0:
        return float("nan")
    gains = gains - min(0.0, float(gains.min()))
    gains = np.exp2(gains) - 1 if exponential else gains
    places = np.arange(len(gains))
    discounts = np.where(places < k, 1 / np.log2(places + 2), 0.0)
    _, group = np.unique(-rewards, return_inverse=True)
    mean_gain = np.bincount(group, weights=gains) / np.bincount(group)
    return float(mean_gain[np.sort(group)] @ discounts / (np.sort(gains)[::-1] @ discounts))


def best_of_n_probabilities(scores: ArrayLike, n: int) -> Floats:
    """P(candidate i has the highest score among n drawn without replacement), equal scores sharing alike.

    With N candidates, c_i of them scored at most s_i and b_i below s_i, and t_i = c_i - b_i tied with i,

        P_i = [C(c_i, n) - C(b_i, n)] / (t_i C(N, n)).

    The sum of P_i v_i is the unbiased estimate of what best-of-n gets of any value v from N samples, of smallest
    variance (a U-statistic); the estimator of Nakano et al. 2021 (arXiv:2112.09332), with ties.

    Args:
        scores: what is picked by, shape (N,), no NaN.
        n: 1 <= n <= N.

    Returns:
        Shape (N,), summing to 1.
    """
    from scipy import special

    s = np.asarray(scores, dtype=np.float64)
    ordered = np.sort(s)
    upto, below = np.searchsorted(ordered, s, side="right"), np.searchsorted(ordered, s, side="left")

    def share(count: Any) -> Floats:
        """C(count, n) / C(N, n), by logarithms, since the numbers themselves overflow."""
        logs = special.gammaln(count + 1) - special.gammaln(np.maximum(count - n, 0) + 1)
        whole = special.gammaln(len(s) + 1) - special.gammaln(len(s) - n + 1)
        return np.where(count < n, 0.0, np.exp(logs - whole))

    return np.asarray((share(upto) - share(below)) / (upto - below))


def best_of_n_kl(n: int) -> float:
    """An upper bound on KL(best-of-n || policy), in nats: log n - (n - 1) / n; reached where no scores tie.

    Beirami et al. 2024 (arXiv:2401.01879) show that it is a bound, and not the divergence that it is often taken for.
    """
    return float(np.log(n) - (n - 1) / n)


def best_pick_by_group(scores: ArrayLike, truth: ArrayLike, groups: ArrayLike) -> Floats:
    """How much of what the best response of a group has over the mean one, the highest reward picks.

        (mean truth of the highest rewards - mean truth) / (largest truth - mean truth),    in each group

    The best pick gets 1, a pick at random 0, a pick worse than the mean less than 0. Equal highest rewards share alike.

    Args:
        scores: rewards, shape (n,).
        truth: human scores, shape (n,).
        groups: group codes 0..G-1, shape (n,), every code there.

    Returns:
        Shape (G,); NaN for a group of constant truth.
    """
    rewards, people = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    codes = np.asarray(groups, dtype=np.int64)
    count = np.bincount(codes)
    highest, largest = np.full(len(count), -np.inf), np.full(len(count), -np.inf)
    np.maximum.at(highest, codes, rewards)
    np.maximum.at(largest, codes, people)
    picked = (rewards == highest[codes]) * 1.0
    mean = np.bincount(codes, weights=people) / count
    gained = np.bincount(codes, weights=picked * people) / np.bincount(codes, weights=picked) - mean
    room = largest - mean
    varied = np.bincount(codes, weights=people != largest[codes]) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(varied, gained / room, np.nan))
