"""Dawid-Skene and crowd Bradley-Terry: known annotators are found again, and a slow independent way agrees."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from guerdon import metrics

Judged = tuple[Any, Any, Any, Any]


def simulated(confusion: Any, shares: Any, items: int, times: int, seed: int = 0) -> Judged:
    """Truth, and the judgements of `times` annotators of each item, drawn from known confusion matrices."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(shares), size=items, p=shares)
    who = np.concatenate([rng.permutation(len(confusion))[:times] for _ in range(items)])
    of = np.repeat(np.arange(items), times)
    said = np.array([rng.choice(len(shares), p=confusion[a][truth[i]]) for i, a in zip(of, who, strict=True)])
    return truth, of, who, said


CONFUSION = np.array(
    [
        [[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]],
        [[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]],
        [[0.85, 0.1, 0.05], [0.05, 0.9, 0.05], [0.1, 0.1, 0.8]],
        [[1 / 3, 1 / 3, 1 / 3]] * 3,  # this one guesses
        [[0.2, 0.7, 0.1], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]],  # and this one takes the first two for each other
    ]
)
SHARES = np.array([0.5, 0.3, 0.2])


def test_known_confusion_matrices_are_found() -> None:
    truth, of, who, said = simulated(CONFUSION, SHARES, items=4000, times=4)
    found = metrics.dawid_skene(of, who, said)
    assert np.abs(found.confusion - CONFUSION).max() < 0.06
    assert np.abs(found.shares - SHARES).max() < 0.03
    assert np.abs(found.accuracies() - np.einsum("akk,k->a", CONFUSION, SHARES)).max() < 0.04
    votes = np.zeros((len(truth), 3))
    np.add.at(votes, (of, said), 1)
    right = (found.posterior.argmax(axis=1) == truth).mean()
    assert right > (votes.argmax(axis=1) == truth).mean() + 0.05
    # What it is sure of by p is right in p of the cases.
    assert found.posterior.max(axis=1).mean() == pytest.approx(right, abs=0.02)


def test_em_ends_where_the_likelihood_is_largest() -> None:
    confusion = CONFUSION[:3, :2, :2] / CONFUSION[:3, :2, :2].sum(axis=-1, keepdims=True)
    _, of, who, said = simulated(confusion, [0.6, 0.4], items=150, times=3)
    found = metrics.dawid_skene(of, who, said, smoothing=0.0, steps=20_000)
    patterns, often = np.unique(
        np.stack([said[of == i][np.argsort(who[of == i])] for i in range(150)]), axis=0, return_counts=True
    )

    def loss(point: Any) -> float:  # as the model says it, for each pattern of what the three said
        p = 1 / (1 + np.exp(-point))
        shares = [1 - p[0], p[0]]
        right = p[1:].reshape(3, 2)  # P(right) of each where the first, the second is true
        total = 0.0
        for pattern, times in zip(patterns, often, strict=True):
            chances = [
                shares[k] * np.prod([right[a, k] if one == k else 1 - right[a, k] for a, one in enumerate(pattern)])
                for k in range(2)
            ]
            total += times * np.log(sum(chances))
        return -total

    at = np.r_[found.shares[1], found.confusion[:, [0, 1], [0, 1]].ravel()]
    here = np.log(at / (1 - at))
    for begin in (here, np.full(7, 1.0), np.full(7, 2.0)):
        assert loss(here) <= minimize(loss, begin, method="BFGS").fun + 1e-4
    np.testing.assert_allclose(1 / (1 + np.exp(-minimize(loss, here, method="BFGS").x)), at, atol=1e-3)


def test_the_order_of_what_is_compared_says_nothing() -> None:
    # First better, second better, tie: an annotator is as good at either, wherever they stand.
    of, who, said = np.arange(30).repeat(2), np.tile([0, 1], 30), np.random.default_rng(2).integers(0, 3, size=60)
    swap = np.array([1, 0, 2])
    turned = of % 2 == 1
    found = metrics.dawid_skene(of, who, said, categories=3, swap=swap)
    other = metrics.dawid_skene(of, who, np.where(turned, swap[said], said), categories=3, swap=swap)
    items = np.arange(30) % 2 == 1
    np.testing.assert_allclose(other.posterior[items], found.posterior[items][:, swap], atol=1e-6)
    np.testing.assert_allclose(other.confusion, found.confusion, atol=1e-6)
    np.testing.assert_allclose(found.confusion, found.confusion[:, swap][:, :, swap], atol=1e-12)


def test_who_judged_nothing_of_a_kind_is_not_believed_for_ever() -> None:
    found = metrics.dawid_skene([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0], categories=2)
    assert np.isfinite(found.posterior).all()
    assert (found.confusion > 0).all()
    assert (found.posterior[:, 0] > 0.8).all()


def crowd(seed: int, reliabilities: Any, things: int, times: int) -> tuple[Any, ...]:
    """Every two things are compared by annotators of known reliability."""
    rng = np.random.default_rng(seed)
    strengths = rng.normal(scale=2, size=things)
    judged = []
    for i, j in itertools.combinations(range(things), 2):
        for person in rng.permutation(len(reliabilities))[:times]:
            p = 1 / (1 + np.exp(strengths[j] - strengths[i]))
            p = p if rng.random() < reliabilities[person] else 1 - p
            judged.append((i, j, person, rng.random() < p))
    first, second, who, won = map(np.array, zip(*judged, strict=True))
    return strengths, first, second, who, won.astype(float)


def test_known_reliabilities_are_found() -> None:
    known = [0.95, 0.85, 0.9, 0.5, 0.1]
    strengths, first, second, who, won = crowd(0, known, things=40, times=5)
    found = metrics.crowd_bradley_terry(first, second, who, won)
    np.testing.assert_allclose(found.reliabilities, known, atol=0.05)
    assert np.corrcoef(found.strengths, strengths)[0, 1] > 0.97
    wins = np.zeros((40, 40))
    np.add.at(wins, (first, second), won)
    np.add.at(wins, (second, first), 1 - won)
    plain = metrics.bradley_terry_strengths(wins)
    assert metrics.kendall(found.strengths, strengths) > metrics.kendall(plain, strengths)
    assert found.right[who == 4].mean() < 0.3 < 0.8 < found.right[who == 0].mean()


def test_nothing_better_is_found_without_derivatives() -> None:
    _, first, second, who, won = crowd(3, [0.9, 0.6, 0.8], things=4, times=3)
    won[::5] = 0.5
    found = metrics.crowd_bradley_terry(first, second, who, won)

    def loss(point: Any) -> float:  # the same, written out
        s, eta = point[:4], 1 / (1 + np.exp(-point[4:]))
        total = 0.0
        for i, j, a, y in zip(first, second, who, won, strict=True):
            p = 1 / (1 + np.exp(s[j] - s[i]))
            q = eta[a] * p + (1 - eta[a]) * (1 - p)
            total += y * np.log(q) + (1 - y) * np.log(1 - q)
        total += sum(-np.log1p(np.exp(-v)) / 2 - np.log1p(np.exp(v)) / 2 for v in s)
        return -(total + np.log(eta * (1 - eta)).sum())

    at = np.r_[found.strengths, np.log(found.reliabilities / (1 - found.reliabilities))]
    best = minimize(loss, at, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-6, "fatol": 1e-10})
    assert best.fun == pytest.approx(loss(at), abs=1e-6)
    from_elsewhere = minimize(loss, np.r_[np.zeros(4), np.full(3, 1.0)], method="Powell", options={"maxiter": 10_000})
    assert loss(at) <= from_elsewhere.fun + 1e-5


def test_without_what_is_added_one_annotator_who_is_always_right_has_reliability_one() -> None:
    found = metrics.crowd_bradley_terry([0, 0, 1], [1, 2, 2], [0, 0, 0], [1, 1, 1], prior=1e-3)
    assert found.reliabilities[0] > 0.95
    assert found.strengths[0] > found.strengths[1] > found.strengths[2]
