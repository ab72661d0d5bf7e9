"""What is likely true where annotators differ, and how far each can be trusted: Dawid-Skene, crowd Bradley-Terry.

Judgements come one by one: judgement j is of item `items[j]` by annotator `annotators[j]`. To both models a few
judgements of each annotator are added beforehand, so that one who judged little is not believed, or disbelieved, for
ever.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from guerdon.metrics.formulas import Floats, Ints
from guerdon.metrics.probability import sigmoid

_SETTLED = 1e-7
"""EM ends when no posterior moves by more."""


@dataclass(frozen=True, slots=True, eq=False)
class DawidSkene:
    """What `dawid_skene` found."""

    posterior: Floats
    """P(item i is truly of category k), shape (n, K)."""
    confusion: Floats
    """P(annotator says l where k is true), shape (annotators, K, K): rows are what is true."""
    shares: Floats
    """Share of the items in each category, shape (K,)."""

    def accuracies(self) -> Floats:
        """P(a judgement is right) of each annotator: sum_k shares_k confusion_kk; shape (annotators,)."""
        return np.asarray(np.einsum("akk,k->a", self.confusion, self.shares))


def dawid_skene(
    items: ArrayLike,
    annotators: ArrayLike,
    labels: ArrayLike,
    *,
    categories: int | None = None,
    swap: ArrayLike | None = None,
    smoothing: float = 1.0,
    steps: int = 1000,
) -> DawidSkene:
    """True categories and a confusion matrix of each annotator, by EM (Dawid & Skene 1979).

        E: P(t_i = k) ~ pi_k prod_j c[a_j, k, l_j]          over the judgements j of item i
        M: pi_k ~ sum_i P(t_i = k),    c[a, k, l] ~ sum_{j of a, l_j = l} P(t_{i_j} = k)

    It begins with the shares of votes. Where items are few and judgements of each fewer still, the true categories are
    no better known than by votes.

    Args:
        items: codes 0..n-1, each there, shape (m,).
        annotators: codes from 0, shape (m,).
        labels: codes of categories, shape (m,).
        categories: K; None: as many as the highest label says.
        swap: what category each becomes where the two things that an item compares are exchanged. Their order is by
            chance then, so an annotator is as good at either, and both are as frequent.
        smoothing: weight of what is added beforehand: each annotator has judged each true category three times, twice
            rightly, and each category was seen once; 0 gives the maximum of the likelihood.
        steps: the most iterations.
    """
    of, who, said = (np.asarray(one, dtype=np.int64) for one in (items, annotators, labels))
    kinds = int(said.max()) + 1 if categories is None else categories
    people, count = int(who.max()) + 1, int(of.max()) + 1
    order = np.arange(kinds) if swap is None else np.asarray(swap)
    beforehand = smoothing * np.where(np.eye(kinds) > 0, 2.0, 1 / max(kinds - 1, 1))
    cell = who * kinds + said  # the column of `said` in the matrix of `who`
    posterior = _by_cell(of * kinds + said, np.ones(len(of)), count * kinds).reshape(count, kinds)
    posterior /= posterior.sum(axis=1, keepdims=True)
    for _ in range(steps):
        shares = posterior.sum(axis=0) + smoothing
        shares = (shares + shares[order]) / (2 * shares.sum())
        seen = np.stack([_by_cell(cell, posterior[of, k], people * kinds) for k in range(kinds)])
        seen = seen.reshape(kinds, people, kinds).transpose(1, 0, 2) + beforehand
        seen = seen + seen[:, order][:, :, order]
        with np.errstate(invalid="ignore", divide="ignore"):
            confusion = np.nan_to_num(seen / seen.sum(axis=2, keepdims=True), nan=1 / kinds)
            logs = np.maximum(np.log(confusion), -1e3), np.maximum(np.log(shares), -1e3)  # not minus infinity
        chances = np.stack([_by_cell(of, logs[0][who, k, said], count) for k in range(kinds)], axis=1) + logs[1]
        chances = np.exp(chances - chances.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        moved = np.abs(chances - posterior).max()
        posterior = chances
        if moved < _SETTLED:
            break
    return DawidSkene(posterior, confusion, shares)


@dataclass(frozen=True, slots=True, eq=False)
class CrowdStrengths:
    """What `crowd_bradley_terry` found."""

    strengths: Floats
    """Of each thing that was compared, shape (things,)."""
    reliabilities: Floats
    """P(an annotator says what the strengths say), shape (annotators,): 1 always, 0.5 by chance, below it contrary."""
    right: Floats
    """P(judgement j says what the strengths say), given all that was judged; shape (m,)."""


def crowd_bradley_terry(
    first: ArrayLike, second: ArrayLike, annotators: ArrayLike, outcomes: ArrayLike, *, prior: float = 1.0
) -> CrowdStrengths:
    """Strengths of things, and how reliably each annotator tells them apart (Chen et al. 2013, CrowdBT, eq. 7 to 9).

        P(annotator a prefers i to j) = eta_a sigmoid(s_i - s_j) + (1 - eta_a) sigmoid(s_j - s_i)

    The likelihood times, as there, a win and a loss of half weight of each thing against one of strength 0, and times
    eta (1 - eta) for each annotator, is at its largest, looked for by L-BFGS from equal strengths and eta = 0.8. What
    was never compared with another, not even through others, has strengths that say nothing of each other.

    With few judgements for each thing, strengths follow the noise, and reliabilities come out too far from 0.5 (their
    order does not suffer); `dawid_skene` has no strengths, and not this fault.

    Args:
        first: codes of things from 0, shape (m,).
        second: those that they were compared with, shape (m,).
        annotators: codes from 0, shape (m,).
        outcomes: 1 where the first was preferred, 0 the second; 0.5, a tie, counts half each way. Shape (m,).
        prior: how much the additions weigh; 0 gives the maximum of the likelihood, where there is one.
    """
    from scipy.optimize import minimize

    one, other, who = (np.asarray(codes, dtype=np.int64) for codes in (first, second, annotators))
    won = np.asarray(outcomes, dtype=np.float64)
    # Each judgement twice, in both directions, with its share as weight: "x was preferred to y".
    better, worse, judge = np.concatenate([one, other]), np.concatenate([other, one]), np.concatenate([who, who])
    weight = np.concatenate([won, 1 - won])
    things, people = int(max(one.max(), other.max())) + 1, int(who.max()) + 1

    def loss(point: Floats) -> tuple[float, Floats]:
        strengths, trust = point[:things], sigmoid(point[things:])
        ahead, eta = sigmoid(strengths[better] - strengths[worse]), trust[judge]
        chance = np.maximum(eta * ahead + (1 - eta) * (1 - ahead), 1e-300)
        value = weight @ np.log(chance)
        slope = weight * (2 * eta - 1) * ahead * (1 - ahead) / chance
        by_thing = _by_cell(better, slope, things) - _by_cell(worse, slope, things)
        by_person = _by_cell(judge, weight * (2 * ahead - 1) / chance, people) * trust * (1 - trust)
        alone = sigmoid(strengths)
        value += prior * (_log_both(strengths).sum() / 2 + _log_both(point[things:]).sum())
        by_thing += prior * (1 - 2 * alone) / 2
        by_person += prior * (1 - 2 * trust)
        return -value, -np.concatenate([by_thing, by_person])

    begin = np.concatenate([np.zeros(things), np.full(people, np.log(4.0))])
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "gtol": 1e-6, "ftol": 1e-12})
    strengths, trust = found.x[:things], sigmoid(found.x[things:])
    ahead, eta = sigmoid(strengths[one] - strengths[other]), trust[who]
    agrees = eta * ahead / (eta * ahead + (1 - eta) * (1 - ahead))
    differs = eta * (1 - ahead) / (eta * (1 - ahead) + (1 - eta) * ahead)
    return CrowdStrengths(strengths, trust, won * agrees + (1 - won) * differs)


def _log_both(values: Floats) -> Floats:
    """log(p (1 - p)) for p = sigmoid(values)."""
    return np.asarray(-np.abs(values) - 2 * np.log1p(np.exp(-np.abs(values))))


def _by_cell(cells: Ints, values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(cells, weights=values, minlength=count), dtype=np.float64)
