"""P(a preferred) beside what people preferred: as a system says it, and as three fits would, each on other prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from guerdon.data.split import group_folds
from guerdon.evaluate.result_tables import Table
from guerdon.evaluate.statistics import Statistic, pair_weights
from guerdon.metrics import (
    Calibration,
    CalibrationMethod,
    Floats,
    Interval,
    Ints,
    ReliabilityBin,
    bootstrap_distribution,
    brier_score,
    expected_calibration_error,
    fit_calibration,
    log_loss,
    percentile_interval,
    reliability_bins,
)

AS_IT_IS = "as it is"
METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)
PROBABILITY_METRICS = ("ece", "brier", "log_loss")
FOLDS = 5
FEWEST_PAIRS = 20
"""Below so many pairs nothing is said of probabilities."""


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """What one system says of the pairs of a table."""

    margins: Floats
    """What a fit reads: reward(better) - reward(worse), or the logit of P; shape (m,)."""
    stated: Floats
    """P(better preferred) as `compare` gives it, shape (m,)."""


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """How honest the probabilities of one system are."""

    system: str
    pairs: int
    values: Mapping[str, Mapping[str, Interval]]
    """`as it is`, `temperature`, `platt`, `isotonic` -> metric -> value; fits are made on the other folds."""
    reliability: Mapping[str, tuple[ReliabilityBin, ...]]
    """The same kinds -> points of the reliability diagram, every pair in both orders."""
    fits: Mapping[str, Calibration]
    """The three fits on all pairs."""

    @property
    def best(self) -> str:
        """The fit with the smallest Brier score, on prompts that it has not seen."""
        return min(METHODS, key=lambda method: self.values[method]["brier"].point)


def calibration_of(
    table: Table, systems: Mapping[str, Probabilities], codes: Ints, *, resamples: int, seed: int
) -> tuple[CalibrationResult, ...]:
    """How far stated probabilities are from what happened, before and after each fit.

    Every pair counts in both orders, so nothing depends on which response came first. Where votes are known, what
    happened is their share.

    Args:
        table: pairs that every system judged.
        systems: name -> what it says of them.
        codes: clusters of the items, shape (n,).
        resamples: bootstrap data sets.
        seed: random seed of folds and draws.
    """
    keys = [str(code) for code in codes[table.better]]
    if len(keys) < FEWEST_PAIRS or len(set(keys)) < 2:
        return ()
    folds = group_folds(keys, min(FOLDS, len(set(keys))), seed)
    of_pairs = pair_weights(table, codes)
    found = []
    for name, system in systems.items():
        kinds = {AS_IT_IS: system.stated}
        for method in METHODS:
            kinds[method] = _cross_fitted(method, system.margins, table.share, folds)
        values = _measured(kinds, table.share, of_pairs, codes, resamples, seed)
        reliability = {kind: reliability_bins(*_both_orders(p, table.share)) for kind, p in kinds.items()}
        fits: dict[str, Calibration] = {
            method: fit_calibration(method, system.margins, table.share) for method in METHODS
        }
        found.append(CalibrationResult(name, len(keys), values, reliability, fits))
    return tuple(found)


def _cross_fitted(method: CalibrationMethod, margins: Floats, share: Floats, folds: Ints) -> Floats:
    """P of each pair by the fit on the folds that do not hold it."""
    fitted = np.empty(len(margins))
    for fold in np.unique(folds):
        own = folds == fold
        fitted[own] = fit_calibration(method, margins[~own], share[~own])(margins[own])
    return fitted


def _measured(
    kinds: Mapping[str, Floats], share: Floats, of_pairs: Statistic, codes: Ints, resamples: int, seed: int
) -> dict[str, dict[str, Interval]]:
    """The metrics of several probabilities of the same pairs, on the same resamples."""
    both = {kind: _both_orders(p, share) for kind, p in kinds.items()}

    def statistic(weights: Floats) -> Floats:
        drawn = of_pairs(weights)
        twice = np.concatenate([drawn, drawn], axis=-1)
        values = [
            [
                expected_calibration_error(*both[kind], weights=twice),
                brier_score(p, share, drawn),
                log_loss(p, share, drawn),
            ]
            for kind, p in kinds.items()
        ]
        return np.moveaxis(np.array(values), -1, 0)

    points = statistic(np.ones((1, len(codes))))[0]
    drawn = bootstrap_distribution(statistic, codes, resamples=resamples, seed=seed)
    return {
        kind: {
            metric: percentile_interval(points[i, m], drawn[:, i, m]) for m, metric in enumerate(PROBABILITY_METRICS)
        }
        for i, kind in enumerate(kinds)
    }


def _both_orders(probabilities: Floats, share: Floats) -> tuple[Floats, Floats]:
    return np.concatenate([probabilities, 1 - probabilities]), np.concatenate([share, 1 - share])
