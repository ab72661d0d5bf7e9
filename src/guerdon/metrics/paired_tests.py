"""Whether two systems that judged the same pairs differ: tests, their power, and strengths of many systems."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from guerdon.metrics.formulas import Floats

_EXACT_CLUSTERS = 12
"""Up to so many clusters all 2^C ways to exchange two systems are counted, with more so many are drawn."""
_FLIPS = 9_999
_PRIOR_WINS = 0.5
"""Wins that each system has over each other one before any is counted, so that no strength is infinite."""


def permutation_p_value(differences: ArrayLike, *, seed: int = 0) -> float:
    """Two-sided p-value of a paired permutation test that exchanges two systems in whole clusters.

    Were the systems alike, the difference of a cluster would be as likely with the opposite sign (Fisher 1935; clusters
    are exchanged as wholes, because rows of one prompt are not independent). Up to 12 clusters all signs are counted,
    else 9,999 are drawn, and the observed ones count as one more (Phipson & Smyth 2010).

    Args:
        differences: system a minus system b, summed over each cluster; shape (C,).
        seed: of the drawn signs.

    Returns:
        A p-value in (0, 1]; NaN without clusters.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return float("nan")
    if len(values) <= _EXACT_CLUSTERS:
        signs, observed = np.array(list(itertools.product((-1, 1), repeat=len(values)))), 0
    else:
        signs, observed = np.random.default_rng(seed).choice((-1, 1), size=(_FLIPS, len(values))), 1
    least = abs(values.sum()) - 1e-9 * max(1.0, np.abs(values).sum())  # sums of floats that are equal but for rounding
    return float((observed + (np.abs(signs @ values) >= least).sum()) / (observed + len(signs)))


def mcnemar_p_value(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value of McNemar's test (1947): the pairs that one system alone orders rightly split evenly.

    It takes the pairs as independent, so rows that share prompts make it too small.

    Args:
        only_a: pairs on which a does better than b.
        only_b: pairs on which b does better than a.
    """
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several (Holm 1979): below alpha, all of them are false with at most that chance."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(value) for value in adjusted]


def minimum_detectable_difference(standard_error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided test would find with the given power.

    (z_{1 - alpha/2} + z_{power}) times the standard error of the difference (Bloom 1995).
    """
    from scipy.stats import norm

    return float((norm.ppf(1 - alpha / 2) + norm.ppf(power)) * standard_error)


def bradley_terry_strengths(wins: ArrayLike, *, steps: int = 1_000) -> Floats:
    """Strengths s, mean 0, by which P(i beats j) = sigmoid(s_i - s_j) explains counted wins best.

    Minorisation-maximisation (Hunter 2004, eq. 3), with half a win of each over each beforehand.

    Args:
        wins: shape (..., n, n), how often the row's system beat the column's; the diagonal is not read.
        steps: the most iterations; they end when no strength moves by more than 1e-9.

    Returns:
        Shape (..., n).
    """
    counted = np.asarray(wins, dtype=np.float64)
    n = counted.shape[-1]
    counted = (counted + _PRIOR_WINS) * (1 - np.eye(n))
    games, won = counted + np.swapaxes(counted, -1, -2), counted.sum(-1)
    strengths = np.zeros(counted.shape[:-1])
    for _ in range(steps if n > 1 else 0):
        power = np.exp(strengths)
        moved = np.log(won) - np.log((games / (power[..., :, None] + power[..., None, :])).sum(-1))
        moved -= moved.mean(-1, keepdims=True)
        settled = np.abs(moved - strengths).max() < 1e-9
        strengths = moved
        if settled:
            break
    return strengths
