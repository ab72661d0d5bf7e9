"""How well rewards agree with people: pure functions of numpy arrays, each with its equation and source.

Every statistic that is given with an interval takes `weights` of any leading shape, `(..., n)`, and answers with that
leading shape: a bootstrap resample is a row of whole-number weights, so a thousand resamples are one matrix product.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


def sigmoid(margins: ArrayLike) -> Floats:
    """P(a preferred to b) = 1 / (1 + exp(-m)) for a reward margin m (Bradley & Terry 1952); stable at any size."""
    from scipy import special

    return np.asarray(special.expit(np.asarray(margins, dtype=np.float64)))


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
    return _weighted_mean(outcomes, weights)


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
    scores, codes = np.asarray(truth), np.asarray(groups, dtype=np.int64)
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
    better, worse = order[start + first], order[start + second]
    keep = scores[better] > scores[worse]
    return better[keep], worse[keep]


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


def expected_calibration_error(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 15) -> float:
    """Mean gap between stated probability and what happened (Guo et al. 2017, equation 5).

        ECE = sum_b (n_b / n) |mean(outcome in b) - mean(probability in b)|,    b: equal bins of [0, 1]

    Args:
        probabilities: P(a preferred), shape (n,), in [0, 1].
        outcomes: 1 where a was preferred, 0 where not, vote shares between; shape (n,).
        bins: number of bins.
    """
    p, happened = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if not len(p):
        return float("nan")
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    return float(np.abs(np.bincount(place, weights=happened - p)).sum() / len(p))


def _weighted_mean(values: Floats, weights: ArrayLike | None) -> Any:
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = w.sum(-1)
    with np.errstate(invalid="ignore"):
        return (w @ values) / (total[..., None] if values.ndim == 2 else total)


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
