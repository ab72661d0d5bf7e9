"""How well step scores find the first wrong step of a solution (ProcessBench), and tell right steps from wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from guerdon.metrics.formulas import Floats

NO_ERROR = -1
"""In place of the index of a wrong step, where every step is right."""


def first_below(scores: ArrayLike, threshold: float) -> int:
    """Index of the first step whose score is below the threshold; `NO_ERROR` where none is."""
    below = np.flatnonzero(np.asarray(scores) < threshold)
    return int(below[0]) if len(below) else NO_ERROR


def right_thresholds(scores: Sequence[Floats], first_errors: ArrayLike) -> Floats:
    """The thresholds at which `first_below` names the step that people named: low < t <= high of each solution.

    Args:
        scores: of each solution, one for each step, higher better.
        first_errors: index of the first wrong step, or `NO_ERROR`; shape (n,).

    Returns:
        Shape (n, 2): low and high; low >= high where there is no such threshold.
    """
    bounds = np.empty((len(scores), 2))
    for i, (own, error) in enumerate(zip(scores, np.asarray(first_errors).tolist(), strict=True)):
        before = own if error == NO_ERROR else own[:error]
        bounds[i] = (-np.inf if error == NO_ERROR else own[error]), np.min(before, initial=np.inf)
    return bounds


def best_threshold(bounds: Floats, erroneous: ArrayLike) -> float:
    """The threshold with the largest `processbench_f1`: so ProcessBench chooses it for rewards that have none.

    Args:
        bounds: `right_thresholds`, shape (n, 2).
        erroneous: whether the solution has an error, shape (n,).
    """
    ends = bounds[np.isfinite(bounds)]
    if not len(ends):
        return 0.0
    ends = np.unique(ends)
    candidates = np.concatenate([ends[:1] - 1, (ends[1:] + ends[:-1]) / 2, ends, ends[-1:] + 1])
    possible, wrong = bounds[:, 0] < bounds[:, 1], np.asarray(erroneous, dtype=bool)

    def found(which: np.ndarray) -> Floats:
        low, high = (np.sort(bounds[which & possible, side]) for side in (0, 1))
        right = np.searchsorted(low, candidates) - np.searchsorted(high, candidates)
        return np.asarray(right / max(int(which.sum()), 1))

    return float(candidates[np.argmax(_harmonic(found(wrong), found(~wrong)))])


def processbench_f1(matched: ArrayLike, erroneous: ArrayLike, weights: ArrayLike | None = None) -> tuple[Any, Any, Any]:
    """ProcessBench (arXiv:2412.06559): accuracy on erroneous and on right solutions, and their harmonic mean.

    Read in `code/run_eval.py` of QwenLM/ProcessBench.

    Args:
        matched: whether the predicted first error is that of the label, shape (n,).
        erroneous: whether the solution has an error, shape (n,).
        weights: shape (..., n); None weighs all alike.

    Returns:
        The two accuracies and F1, each of shape (...); NaN where one kind of solution is absent.
    """
    right, wrong = np.asarray(matched, dtype=np.float64), np.asarray(erroneous, dtype=np.float64)
    w = np.ones(len(right)) if weights is None else np.asarray(weights, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        on_wrong, on_right = ((w @ (right * kind)) / (w @ kind) for kind in (wrong, 1 - wrong))
    return on_wrong, on_right, _harmonic(on_wrong, on_right)


def roc_auc(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """P(a right one has the higher score than a wrong one), equal scores counting half (Hanley & McNeil 1982).

    Args:
        scores: shape (n,).
        labels: 1 for right, 0 for wrong; shape (n,).
        weights: shape (..., n); None weighs all alike.

    Returns:
        In [0, 1], shape (...); NaN where one kind is absent.
    """
    values, right = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(values):
        return np.full(w.shape[:-1], np.nan)
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values[order]) > 0]))
    positive, negative = (np.add.reduceat((w * kind)[..., order], starts, axis=-1) for kind in (right, 1 - right))
    beaten = np.cumsum(negative, axis=-1) - negative / 2
    with np.errstate(invalid="ignore"):
        return (positive * beaten).sum(-1) / (positive.sum(-1) * negative.sum(-1))


def _harmonic(a: Any, b: Any) -> Any:
    """2ab / (a + b); 0 where both are 0."""
    with np.errstate(invalid="ignore"):
        return np.where(np.asarray(a) + b == 0, 0.0, 2 * a * b / (a + b))
