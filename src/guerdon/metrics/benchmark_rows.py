"""What the score of a published benchmark is computed from: a row as a system judged it, and means over rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from guerdon.metrics.formulas import Floats


@dataclass(frozen=True, slots=True, eq=False)
class BenchmarkRow:
    """One row of a benchmark as a system judged it."""

    subset: str = ""
    id: str = ""
    tags: tuple[str, ...] = ()
    """Categories that the row belongs to beside its subset."""
    system: str = ""
    """Who wrote the response of a rating."""
    wins: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """Shape (better, worse): 1 where the better response has the higher reward, 0.5 where the two are equal, else 0.
    Better and worse responses are in the order of the row."""
    rewards: Floats | None = None
    """The reward of each response in the order of the row, shape (k,); None for a system that only compares."""
    truth: Floats = field(default_factory=lambda: np.zeros(0))
    """What people say of each response, shape (k,); for a rating, of each attribute."""
    attributes: tuple[str, ...] = ()


Scores: TypeAlias = dict[str, Floats]
Formula: TypeAlias = Callable[[Sequence[BenchmarkRow]], Callable[[Floats], Scores]]
"""Rows -> bootstrap weights, shape (b, rows) -> name of a score -> shape (b,)."""


def mean_over(
    values: Sequence[float] | Floats, rows: Sequence[BenchmarkRow], belongs: Callable[[BenchmarkRow], bool]
) -> Callable[[Floats], Floats]:
    """Weights, shape (b, rows) -> the mean of one value of each row over the rows that belong, shape (b,).

    Rows whose value is NaN take no part; without any row the mean is NaN.
    """
    known = np.asarray(values, dtype=np.float64)
    at = np.array([i for i, row in enumerate(rows) if belongs(row) and not np.isnan(known[i])], dtype=np.int64)

    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(weights[:, at] @ known[at] / weights[:, at].sum(axis=-1))

    return mean


def best_on_top(rows: Sequence[BenchmarkRow]) -> Floats:
    """1 where the better responses of a row are strictly above all the worse ones, else 0; NaN where it has none."""
    return np.array([(row.wins == 1).all() if row.wins.size else np.nan for row in rows], dtype=np.float64)


def mean_of(scores: Mapping[str, Floats]) -> Floats:
    """The plain mean of several scores, shape (b,); NaN where one of them is."""
    return np.asarray(np.mean(list(scores.values()), axis=0))
