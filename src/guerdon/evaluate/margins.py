"""Accuracy by how clearly people preferred: a reward should be surest where they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.evaluate.result_tables import Table
from guerdon.evaluate.statistics import SystemValues, pair_weights
from guerdon.metrics import Floats, Interval, Ints, accuracy_where, bootstrap_distribution, percentile_interval

MOST_STRENGTHS = 5
"""Up to so many different strengths are told apart; more are put into thirds."""


@dataclass(frozen=True, slots=True)
class MarginBin:
    """The pairs that people preferred about as clearly."""

    low: float
    """The least strength among them, in the units of the data: a recorded margin, the lead in votes (0 to 1), or the
    difference of two human scores."""
    high: float
    pairs: int
    accuracy: Mapping[str, Interval]
    """System or baseline -> accuracy in these pairs."""


def accuracy_by_margin(
    table: Table, systems: Mapping[str, SystemValues], codes: Ints, *, resamples: int, seed: int
) -> tuple[MarginBin, ...]:
    """The accuracy of every system in bins of human strength, ascending; none where the strengths do not differ.

    Args:
        table: pairs that every system judged.
        systems: name -> what it says of them.
        codes: clusters of the items, shape (n,).
        resamples: bootstrap data sets.
        seed: random seed of the draws.
    """
    bins = _bins(table.strength)
    if not bins:
        return ()
    margins = np.stack([system.margins for system in systems.values()], axis=-1)
    of_pairs = pair_weights(table, codes)

    def statistic(weights: Floats) -> Floats:
        drawn = of_pairs(weights)
        return np.stack([accuracy_where(margins, inside, drawn) for inside in bins], axis=-1)

    points = statistic(np.ones((1, len(codes))))[0]
    drawn = np.full((1, *points.shape), np.nan)
    if codes.max(initial=0) > 0:
        drawn = bootstrap_distribution(statistic, codes, resamples=resamples, seed=seed)
    return tuple(
        MarginBin(
            low=float(table.strength[inside].min()),
            high=float(table.strength[inside].max()),
            pairs=int(inside.sum()),
            accuracy={name: percentile_interval(points[i, at], drawn[:, i, at]) for i, name in enumerate(systems)},
        )
        for at, inside in enumerate(bins)
    )


def _bins(strength: Floats) -> Sequence[np.ndarray]:
    """Which pairs are in each bin; none where there is but one."""
    known = np.unique(strength[~np.isnan(strength)])
    if len(known) < 2:
        return ()
    if len(known) <= MOST_STRENGTHS:
        return [strength == value for value in known]
    low, high = np.nanquantile(strength, [1 / 3, 2 / 3])
    thirds = [strength <= low, (strength > low) & (strength <= high), strength > high]
    return [inside for inside in thirds if inside.any()]
