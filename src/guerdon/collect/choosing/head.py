"""The reward that tasks are chosen by: one linear head on all members' features, with its posterior.

    p(first preferred) = sigmoid(w . x),    x = f(first) - f(second),    w ~ N(0, I)

Each member's features come divided by the root of their penalty, so that one prior serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from guerdon.cpu import one_blas_thread
from guerdon.metrics import Floats, Ints, sigmoid
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import fit_weights
from guerdon.train.cross_validation import Member

PENALTIES = {"longest": 3.0, "cosine": 10.0, "surface": 100.0, "embedding": 1000.0}
"""Member -> L2 penalty of its weights, for some hundred labels. Words (TF-IDF) are left out: for posteriors and for
distances they are too many."""
_KEPT = 0.97
"""Share of the features' variance that is kept: what holds the rest is not worth its time."""


def head_features(members: Sequence[Member]) -> Floats:
    """The features of n responses, shape (n, d): those of all members, turned to their d leading directions."""
    found = np.concatenate([_scaled(member) for member in members], axis=1)
    found -= found.mean(axis=0)
    with one_blas_thread():
        size, directions = np.linalg.eigh(found.T @ found)
        kept = np.cumsum(size) > (1 - _KEPT) * size.sum()
        return np.asarray(found @ directions[:, kept])


def _scaled(member: Member) -> Floats:
    values: Floats = member.values
    if not member.penalties:  # a scorer in its own units
        values = (values - values.mean()) / (values.std() or 1.0)
    return np.asarray(values / np.sqrt(PENALTIES[member.name]), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Head:
    """A head that was fitted to m judged pairs."""

    asked: Floats
    """These pairs as differences of features, better less worse, shape (m, d)."""
    judged: JudgedResponses
    where: Ints
    """The places of these pairs in `judged`, shape (m,)."""
    weights: Floats
    """Shape (d,)."""

    @classmethod
    def fit(cls, asked: Floats, judged: JudgedResponses, where: Ints) -> Head:
        """The most probable weights.

        Args:
            asked: the pairs that are learnt from, as differences of features, better less worse, shape (m, d).
            judged: what was said of all pairs.
            where: the places of those that are learnt from, shape (m,).
        """
        weights, _ = fit_weights(asked, lambda margins: judged.loss(margins, where).sum(), 1.0, intercept=False)
        return cls(asked, judged, where, weights)

    def covariance(self, share: float = 1.0) -> Floats:
        """Of the weights, by Laplace's approximation, (I + share sum_i p_i (1 - p_i) x_i x_i')^-1, shape (d, d).

        `share` below 1 takes what was asked for so much weaker evidence than it is.
        """
        chance = sigmoid(self.asked @ self.weights)
        with one_blas_thread():
            information = (self.asked * (share * chance * (1 - chance))[:, None]).T @ self.asked
            return np.asarray(np.linalg.inv(np.eye(len(self.weights)) + information))

    def ensemble(self, count: int, rng: np.random.Generator) -> Floats:
        """Weights of heads that are fitted to pairs drawn with replacement, shape (count, d)."""
        size, found = len(self.where), []
        for _ in range(count):
            weight = np.zeros(len(self.judged))
            weight[self.where] = np.bincount(rng.integers(size, size=size), minlength=size)
            found.append(Head.fit(self.asked, replace(self.judged, weight=weight), self.where).weights)
        return np.stack(found)
