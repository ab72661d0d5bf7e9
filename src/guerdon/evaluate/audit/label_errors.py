"""Which labels are likely wrong: those that models, which never saw the label, speak against most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from guerdon.data.split import group_folds
from guerdon.evaluate.audit.natural_pairs import NaturalPairs
from guerdon.metrics import Floats, Interval, Ints, clustered_mean, sigmoid
from guerdon.rewards.blend import fit_blend_weights
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.rewards.terms import TermFeatures
from guerdon.train.cross_validation import Member
from guerdon.types import Comparison, group_key

FOLDS = 5
PLANTED = 0.05
"""Share of the labels that are turned around to see whether the ranking finds them."""
FEWEST = 100
MOST = 20_000
"""Pairs that are read at most."""
CLEAR = 3.0
"""Planted errors count as found where they are more than so many times as frequent among the suspects as everywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelErrors:
    """The labels of m pairs, the most doubtful first."""

    order: Ints
    """Places in the pairs, shape (m,)."""
    support: Floats
    """P that the label is right by models that never saw it, in the order of `order`; shape (m,)."""
    agreement: Floats
    """1 where those models agree with the label, shape (m,), in the order of the pairs."""
    expected: int
    """How many labels are contradicted as firmly as labels are supported on average (Northcutt et al. 2021)."""
    precision: Interval
    """Of labels turned around on purpose, 5% of all, the share among as many suspects; NaN where it was not tried."""

    @property
    def detectable(self) -> bool:
        """Whether the ranking finds wrong labels in such data: planted ones are far more frequent among suspects."""
        return bool(self.precision.low > CLEAR * PLANTED)


def find_label_errors(pairs: NaturalPairs, *, seed: int = 0, check: bool = True) -> LabelErrors | None:
    """Ranks labels by out-of-fold support; None where there are too few pairs.

    Rows are dealt into folds (with the same two responses, if judged again): the label itself is never seen, but others
    about the same response are, which a split by prompt would withhold. TF-IDF, surface measures and, where responses
    stand in several pairs, the responses themselves (Bradley-Terry) are combined by weights fitted out of fold.

    Args:
        pairs: what people ordered.
        seed: seed of the folds and of the planted errors.
        check: also turn 5% of the labels around and see whether the ranking finds them; it takes as long again.
    """
    if len(pairs) < FEWEST or not pairs.ordered:
        return None
    support = 1 - _doubts(pairs, seed)
    order = np.argsort(support, kind="stable")
    found = int((1 - support >= support.mean()).sum())
    precision = planted_precision(pairs, seed) if check else Interval(float("nan"))
    return LabelErrors(order, support[order], (support > 0.5).astype(np.float64), found, precision)


def planted_precision(pairs: NaturalPairs, seed: int) -> Interval:
    """Turns 5% of the labels around, and gives the share of these among as many suspects."""
    rng = np.random.default_rng(seed + 1)
    count = max(1, round(PLANTED * len(pairs)))
    turned = np.zeros(len(pairs), dtype=bool)
    turned[rng.choice(len(pairs), count, replace=False)] = True
    planted = replace(
        pairs,
        pairs=tuple(
            one._replace(better=one.worse, worse=one.better) if turn else one
            for one, turn in zip(pairs.pairs, turned, strict=True)
        ),
    )
    suspects = np.argsort(-_doubts(planted, seed), kind="stable")[:count]
    return clustered_mean(turned[suspects].astype(np.float64), np.arange(count)).share


def _doubts(pairs: NaturalPairs, seed: int) -> Floats:
    """P that each label is wrong, by models that did not see it, shape (m,)."""
    judged = JudgedResponses.of(
        [
            Comparison(prompt=one.prompt, chosen=one.better, rejected=one.worse, group=group_key(one.row))
            for one in pairs.pairs
        ]
    )
    folds = group_folds([one.key for one in pairs.pairs], FOLDS, seed)
    every = np.arange(len(judged))
    margins = np.stack([one.out_of_fold(judged, every, folds)[0] for one in _members(judged)], axis=1)
    standard = margins / np.where(margins.std(axis=0) > 0, margins.std(axis=0), 1.0)
    blended = np.zeros(len(judged))
    for fold in np.unique(folds):
        weights, _ = fit_blend_weights(standard, judged, np.flatnonzero(folds != fold))
        blended[folds == fold] = standard[folds == fold] @ weights
    return np.asarray(sigmoid(-blended))


def _members(judged: JudgedResponses) -> Sequence[Member]:
    members = [
        Member.linear(TermFeatures.fit(judged.responses), judged),
        Member.linear(SurfaceFeatures(), judged),
    ]
    if len(judged) > 0.75 * len(judged.responses):
        members.append(_each_response(judged))
    return members


def _each_response(judged: JudgedResponses) -> Member:
    """A strength of each response, whatever its words: what other pairs of it say."""
    from scipy import sparse

    def none(weights: Floats, intercept: float) -> Any:
        raise NotImplementedError("strengths of responses are no reward for others")

    return Member("responses", sparse.identity(len(judged.responses), format="csr"), (0.3,), none)
