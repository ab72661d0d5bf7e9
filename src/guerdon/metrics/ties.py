"""Pairwise accuracy where people see ties too: a reward ties as well, below a difference that is fitted to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from guerdon.metrics.formulas import Floats, Ints, pairs_within


@dataclass(frozen=True, slots=True, eq=False)
class TieCalibrated:
    """Accuracy with ties, at the threshold that makes it largest."""

    accuracy: float
    """The mean over groups; NaN where no group has two items."""
    threshold: float
    """Rewards that differ by no more than this are called a tie; 0 adds none."""
    by_group: Floats
    """The accuracy of each group, shape (G,); NaN for a group of one."""


def tie_calibrated_accuracy(
    scores: ArrayLike, truth: ArrayLike, groups: ArrayLike, *, limit: int = 400_000, seed: int = 0
) -> TieCalibrated:
    """Pairwise accuracy with tie calibration (Deutsch et al. 2023, arXiv:2305.14324), as in WMT's metrics task.

        acc_eq = (C + T_both) / (all pairs), in each group; the mean over groups with a pair

    C are the pairs ordered alike, T_both those tied on both sides. A reward of many digits never ties, so pairs whose
    rewards differ by at most epsilon count as its ties; epsilon is the one with the largest mean, looked for among all
    differences, as the published procedure does.

    Args:
        scores: rewards, shape (n,).
        truth: human scores, shape (n,).
        groups: group codes 0..G-1, shape (n,): one source sentence, one prompt.
        limit: with more ordered pairs than this, so many are drawn.
        seed: random seed of that draw.
    """
    rewards, people = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    first, second, group = pairs_within(groups, limit=limit, seed=seed)
    kept = first < second  # each pair once; of drawn pairs, those drawn in this order
    first, second, group = first[kept], second[kept], group[kept]
    sizes = np.bincount(group, minlength=int(np.asarray(groups).max(initial=-1)) + 1)
    if not len(group):
        return TieCalibrated(float("nan"), 0.0, np.full(len(sizes), np.nan))
    difference, human = rewards[first] - rewards[second], people[first] - people[second]
    tied, apart = np.abs(difference), np.sign(difference) == np.sign(human)
    # What each pair adds to the mean where it is told apart, and where it is called a tie.
    share = 1 / (sizes[group] * np.count_nonzero(sizes))
    order = np.argsort(tied, kind="stable")
    gains = np.concatenate([[0.0], np.cumsum((share * ((human == 0) * 1.0 - apart))[order])])
    thresholds = np.concatenate([[0.0], tied[order]])
    last = np.append(np.diff(thresholds) > 0, True)  # a threshold ties all pairs of its difference at once
    best = int(np.argmax(np.where(last, gains, -np.inf)))
    threshold = float(thresholds[best])
    by_group = accuracy_with_ties(difference, human, group, len(sizes), threshold)
    return TieCalibrated(float(np.nanmean(by_group)), threshold, by_group)


def accuracy_with_ties(differences: Floats, human: Floats, group: Ints, groups: int, threshold: float) -> Floats:
    """(C + T_both) / pairs of each group, shape (groups,), NaN without pairs.

    Args:
        differences: of the rewards of two items, shape (m,).
        human: of their human scores, shape (m,).
        group: the code of each pair, shape (m,).
        groups: how many groups there are.
        threshold: differences of rewards up to this are ties.
    """
    called = np.where(np.abs(differences) <= threshold, 0.0, np.sign(differences))
    right = np.bincount(group, weights=(called == np.sign(human)) * 1.0, minlength=groups)
    with np.errstate(invalid="ignore"):
        return np.asarray(right / np.bincount(group, minlength=groups))
