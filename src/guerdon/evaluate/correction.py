"""How a correction for length and format is estimated from the margins of judged pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from guerdon.evaluate.repair_config import RepairMethod, RepairMode
from guerdon.metrics import Floats
from guerdon.rewards.repaired import FORMAT_FEATURES, Correction, format_features
from guerdon.types import Prompts, Responses

_KNOTS = 8
_RIDGE = 1e-6
"""L2 penalty on standardised columns, as a share of the number of pairs: it decides where columns are dependent."""
_SPAN = 0.5
"""Share of the responses in the neighbourhood of a local regression."""
_STRENGTHS = np.linspace(-2.0, 3.0, 501)


def longer_picked(margins: Floats, longer: Floats, weights: Floats | None = None) -> Floats:
    """P(the reward picks the longer) - P(people pick the longer), over pairs of different lengths.

    Args:
        margins: reward of the preferred response minus that of the other, shape (..., m); a tie counts half.
        longer: length of the preferred response minus that of the other, shape (m,).
        weights: shape (b, m), for the bootstrap.

    Returns:
        The excess, shape (...) or, with weights, (b, ...).
    """
    apart = longer != 0
    sign = np.sign(longer[apart])
    picks = (np.sign(margins[..., apart]) * sign + 1) / 2
    excess = picks - (sign + 1) / 2
    if weights is None:
        return np.asarray(excess.mean(axis=-1))
    drawn = weights[:, apart]
    return np.asarray(np.tensordot(drawn, excess, axes=(-1, -1)) / drawn.sum(-1).reshape(-1, *[1] * (excess.ndim - 1)))


def length_slope(margins: Floats, difference: Floats, weights: Floats | None = None) -> Floats:
    """Least-squares slope of the margins of preferred responses on their differences of log length, with an intercept.

    The intercept is what a preferred response gets whatever its length, so that a reward that is merely right about
    people who like longer responses has no slope.

    Shapes as for `longer_picked`, with `difference` in place of `longer`.
    """
    drawn = np.ones((1, len(difference))) if weights is None else weights
    drawn = drawn / drawn.sum(-1, keepdims=True)
    mean = drawn @ difference
    variance = drawn @ difference**2 - mean**2
    product = np.tensordot(drawn, margins * difference, axes=(-1, -1))
    level = np.tensordot(drawn, margins, axes=(-1, -1))
    shape = (-1, *[1] * (margins.ndim - 1))
    slope = (product - level * mean.reshape(shape)) / variance.reshape(shape)
    return np.asarray(slope[0] if weights is None else slope)


def fit_correction(
    prompts: Prompts,
    responses: Responses,
    rewards: Floats,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    mode: RepairMode,
    method: RepairMethod,
    formats: bool = False,
) -> Correction:
    """Estimates what a reward owes to length and format.

    Args:
        prompts: n prompts.
        responses: n responses.
        rewards: finite, shape (n,).
        pairs: places of the preferred response and of the other, shape (m,) each.
        mode: `people` scales the correction so that the reward picks the longer as often as people did in these pairs.
        method: how the correction is estimated.
        formats: correct the format as well (`covariate` only).
    """
    better, worse = pairs
    lengths = np.log1p([len(text) for text in responses])
    if method == "local":
        knots = _knots(np.quantile(lengths, np.linspace(0, 1, _KNOTS)))
        curve = _local_regression(lengths, rewards, np.array(knots))
        correction = Correction(knots, tuple(curve.tolist()), (0.0,) * len(FORMAT_FEATURES))
    else:
        knots = _knots(np.array([lengths.min(), lengths.max()]))
        columns = lengths[:, None]
        if formats:
            columns = np.concatenate([columns, format_features(prompts, responses)], axis=1)
        slope, *weights = _least_squares(columns[better] - columns[worse], rewards[better] - rewards[worse]).tolist()
        line = slope * (np.array(knots) - lengths.mean())
        correction = Correction(knots, tuple(line.tolist()), tuple(weights) or (0.0,) * len(FORMAT_FEATURES))
    if mode == "none":
        return correction
    taken = correction(prompts, responses)
    margins = (rewards - _STRENGTHS[:, None] * taken)[:, better] - (rewards - _STRENGTHS[:, None] * taken)[:, worse]
    excess = np.abs(longer_picked(margins, lengths[better] - lengths[worse]))
    best = np.flatnonzero(excess <= excess.min() + 1e-12)
    return correction.times(float(_STRENGTHS[best[np.argmin(np.abs(_STRENGTHS[best]))]]))


def _knots(values: Floats) -> tuple[float, ...]:
    """Distinct values in ascending order, two at least."""
    found = np.unique(values).tolist()
    return tuple(found) if len(found) > 1 else (found[0], found[0] + 1.0)


def _least_squares(columns: Floats, margins: Floats) -> Floats:
    """Weights of a least-squares fit with an intercept and a little ridge; columns that are constant get 0.

    Without the intercept, which is what preferred responses get whatever their length, a reward that is right about
    people who like longer responses would lose what it knows.
    """
    columns, margins = columns - columns.mean(axis=0), margins - margins.mean()
    spread = columns.std(axis=0)
    used = spread > 1e-12
    scaled = columns[:, used] / spread[used]
    gram = scaled.T @ scaled + _RIDGE * len(scaled) * np.eye(scaled.shape[1])
    weights = np.zeros(columns.shape[1])
    weights[used] = np.linalg.solve(gram, scaled.T @ margins) / spread[used]
    return weights


def _local_regression(lengths: Floats, rewards: Floats, knots: Floats) -> Floats:
    """A local straight line with tricube weights at each knot (Cleveland 1979), less its mean over the knots."""
    count = max(2, round(_SPAN * len(lengths)))
    found = np.empty(len(knots))
    for place, knot in enumerate(knots):
        away = np.abs(lengths - knot)
        width = max(np.partition(away, count - 1)[count - 1], 1e-9)
        weights = np.clip(1 - (away / width) ** 3, 0, None) ** 3 + 1e-12
        mean, level = np.average(lengths, weights=weights), np.average(rewards, weights=weights)
        variance = np.average((lengths - mean) ** 2, weights=weights)
        slope = (
            np.average((lengths - mean) * (rewards - level), weights=weights) / variance if variance > 1e-12 else 0.0
        )
        found[place] = level + slope * (knot - mean)
    return np.asarray(found - found.mean())
