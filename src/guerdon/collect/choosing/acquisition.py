"""Rules that choose what to ask: each puts pairs that nobody judged into an order, the best to ask first.

Of a pair, x is the difference of the two responses' features, m = w . x the margin of the head, p = sigmoid(m), and
v = x' S x the variance of m under the posterior of the weights. Which response comes first makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from guerdon.collect.choosing.choosing_config import Rule
from guerdon.collect.choosing.head import Head
from guerdon.metrics import Floats, Ints, sigmoid

_ASKED_COUNTS = 0.25
"""Of the information of what was asked; with all of it pairs are asked that are unlike the others, and teach little."""
_MEMBERS = 8
"""Heads of the ensemble."""
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


def choose(rule: Rule, head: Head, pool: Floats, count: int, rng: np.random.Generator) -> Ints:
    """The places of the pairs to ask, the best first, shape (min(count, n),).

    Args:
        rule: by what they are chosen.
        head: the reward as it is.
        pool: differences of features of the pairs that could be asked, shape (n, d).
        count: how many.
        rng: what chance is drawn from.
    """
    return _CHOOSERS[rule](head, pool, min(count, len(pool)), rng)


def expected_change(head: Head, pool: Floats) -> Floats:
    """How far a label is expected to move the weights, to first order: E |gradient| = 2 p (1 - p) |x|, shape (n,).

    Expected gradient length (Settles, Craven & Ray 2007, Multiple-Instance Active Learning): pairs whose responses
    differ much in what the reward reads, and whose outcome is open.
    """
    chance = sigmoid(pool @ head.weights)
    return np.asarray(2 * chance * (1 - chance) * np.linalg.norm(pool, axis=1))


def information(margins: Floats, variances: Floats) -> Floats:
    """What a label is expected to say of the weights, in nats: H[E p] - E H[p], shape (n,).

    BALD (Houlsby et al. 2011, arXiv:1112.5745) with m ~ N(margin, variance).
    """
    chance = sigmoid(margins[:, None] + np.sqrt(variances)[:, None] * _NODES)
    weights = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
    return np.asarray(_entropy(chance @ weights) - _entropy(chance) @ weights)


def _entropy(chance: Floats) -> Floats:
    known = np.clip(chance, 1e-12, 1 - 1e-12)
    return np.asarray(-known * np.log(known) - (1 - known) * np.log(1 - known))


def _one_by_one(
    head: Head, pool: Floats, count: int, merit: Callable[[Floats, Floats, Floats], Floats], *, share: float = 1.0
) -> Ints:
    """The pair of highest merit(margins, variances, p (1 - p)), then the next as if that one had been judged."""
    covariance, margins = head.covariance(share), pool @ head.weights
    chance = sigmoid(margins)
    weight = chance * (1 - chance)
    variances = np.einsum("ij,ij->i", pool @ covariance, pool)
    free, found = np.ones(len(pool), dtype=bool), []
    for _ in range(count):
        best = int(np.argmax(np.where(free, merit(margins, np.maximum(variances, 1e-12), weight), -np.inf)))
        free[best] = False
        found.append(best)
        direction = covariance @ pool[best]
        share = weight[best] / (1 + weight[best] * variances[best])
        variances = variances - share * np.square(pool @ direction)
        covariance -= share * np.outer(direction, direction)
    return np.array(found, dtype=np.int64)


def _by_step(head: Head, pool: Floats, count: int, rng: np.random.Generator) -> Ints:
    """Expected length of the Newton step, E sqrt(g' S g) = 2 p (1 - p) sqrt(v), with what was asked counted in part."""
    return _one_by_one(
        head, pool, count, lambda margins, variances, weight: weight * np.sqrt(variances), share=_ASKED_COUNTS
    )


def _by_change(head: Head, pool: Floats, count: int, rng: np.random.Generator) -> Ints:
    return np.argsort(-expected_change(head, pool), kind="stable")[:count]


def _d_optimal(head: Head, pool: Floats, count: int, rng: np.random.Generator) -> Ints:
    """Most Fisher information, log det(I + p (1 - p) x x' S) = log(1 + p (1 - p) v), greedily (arXiv:2502.04354)."""
    return _one_by_one(head, pool, count, lambda margins, variances, weight: weight * variances)


def _bald(head: Head, pool: Floats, count: int, rng: np.random.Generator) -> Ints:
    return _one_by_one(head, pool, count, lambda margins, variances, weight: information(margins, variances))


def _by_margin(head: Head, pool: Floats, count: int, rng: np.random.Generator) -> Ints:
    """The outcome that is most open: |m| smallest (uncertainty sampling, Lewis & Gale 1994)."""
    return np.argsort(np.abs(pool @ head.weights), kind="stable")[:count]


def _by_disagreement(head: Head, pool: Floats, count: int, rng: np.random.Generator) -> Ints:
    """Where heads of an ensemble disagree most, by the deviation of their margins (Christiano et al. 2017, 2.2.4)."""
    return np.argsort(-(pool @ head.ensemble(_MEMBERS, rng).T).std(axis=1), kind="stable")[:count]


def _core_set(head: Head, pool: Floats, count: int, rng: np.random.Generator) -> Ints:
    """The pair that is farthest from all that were asked, then the next (k-center, Sener & Savarese 2018).

    The distance of x and y is the smaller one of |x - y| and |x + y|: a pair has no first response.
    """
    size = np.square(pool).sum(axis=1)
    to_asked = size[:, None] + np.square(head.asked).sum(axis=1) - 2 * np.abs(pool @ head.asked.T)
    nearest, found = to_asked.min(axis=1), []
    for _ in range(count):
        best = int(np.argmax(nearest))
        found.append(best)
        nearest = np.minimum(nearest, size + size[best] - 2 * np.abs(pool @ pool[best]))
        nearest[best] = -np.inf
    return np.array(found, dtype=np.int64)


def _by_chance(head: Head, pool: Floats, count: int, rng: np.random.Generator) -> Ints:
    return rng.permutation(len(pool))[:count]


_CHOOSERS: dict[Rule, Callable[[Head, Floats, int, np.random.Generator], Ints]] = {
    "expected-step": _by_step,
    "expected-change": _by_change,
    "d-optimal": _d_optimal,
    "bald": _bald,
    "margin": _by_margin,
    "disagreement": _by_disagreement,
    "core-set": _core_set,
    "random": _by_chance,
}
