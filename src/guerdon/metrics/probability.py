"""P(a preferred): from a margin, how far it is from what happened, and fits that bring it nearer.

A pair can be shown in either order, so everything here is antisymmetric: P(b preferred) = 1 - P(a preferred).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from guerdon.metrics.formulas import Floats, weighted_mean

CalibrationMethod: TypeAlias = Literal["temperature", "platt", "isotonic"]


def sigmoid(margins: ArrayLike) -> Floats:
    """P(a preferred to b) = 1 / (1 + exp(-m)) for a reward margin m (Bradley & Terry 1952); stable at any size."""
    from scipy import special

    return np.asarray(special.expit(np.asarray(margins, dtype=np.float64)))


def expected_calibration_error(
    probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 15, *, weights: ArrayLike | None = None
) -> Any:
    """Mean gap between stated probability and what happened (Guo et al. 2017, equation 5).

        ECE = sum_b (n_b / n) |mean(outcome in b) - mean(probability in b)|,    b: equal bins of [0, 1]

    Args:
        probabilities: P(a preferred), shape (n,), in [0, 1].
        outcomes: 1 where a was preferred, 0 where not, vote shares between; shape (n,).
        bins: number of bins.
        weights: shape (..., n); None weighs all alike.

    Returns:
        In [0, 1], shape (...); NaN without pairs.
    """
    p, happened = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    w = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=np.float64)
    gaps = np.zeros((len(p), bins))
    gaps[np.arange(len(p)), _bin_of(p, bins)] = happened - p
    with np.errstate(invalid="ignore"):
        return np.abs(w @ gaps).sum(-1) / w.sum(-1)


def brier_score(probabilities: ArrayLike, outcomes: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """Mean of (probability - outcome)^2 (Brier 1950); 0.25 for P = 1/2 everywhere. Arguments as for the ECE."""
    p, happened = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    return weighted_mean((p - happened) ** 2, weights)


def log_loss(probabilities: ArrayLike, outcomes: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """Mean of -y log p - (1 - y) log(1 - p), in nats; log 2 = 0.693 for P = 1/2. p is kept 1e-7 away from 0 and 1."""
    p, happened = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-7, 1 - 1e-7), np.asarray(outcomes)
    return weighted_mean(-happened * np.log(p) - (1 - happened) * np.log1p(-p), weights)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """What was said and what happened, in one bin of probabilities."""

    said: float
    """Mean stated probability."""
    happened: float
    """Share that was preferred."""
    pairs: int


def reliability_bins(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """The points of a reliability diagram: one for each of equal bins of [0, 1] that has pairs, as the ECE has them."""
    p, happened = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    place = _bin_of(p, bins)
    return tuple(
        ReliabilityBin(float(p[place == b].mean()), float(happened[place == b].mean()), int((place == b).sum()))
        for b in np.unique(place)
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """P(a preferred to b) as a function of the margin m = R(a) - R(b), fitted to what people preferred.

    Example:
        >>> Calibration("temperature", scale=2.0)([0.0, 4.0]).round(3).tolist()
        [0.5, 0.881]
    """

    method: CalibrationMethod
    """`temperature`: sigmoid(m / scale). `platt`: sigmoid(m / scale + intercept * sign(m)). `isotonic`: a rising line
    through points."""
    scale: float = 1.0
    intercept: float = 0.0
    """Platt's intercept is what the larger of two rewards counts by itself: one that went with the place of a response
    would prefer whichever comes first."""
    margins: tuple[float, ...] = ()
    """The points of an isotonic fit, ascending."""
    probabilities: tuple[float, ...] = ()
    """P at each of them."""

    def __post_init__(self) -> None:
        """Raises ValueError with every fault."""
        faults = []
        if self.method not in get_args(CalibrationMethod):
            faults.append(f"method must be one of {', '.join(get_args(CalibrationMethod))}, got {self.method!r}")
        if not self.scale > 0:
            faults.append(f"scale must be above 0, got {self.scale}")
        if len(self.margins) != len(self.probabilities) or (self.method == "isotonic" and not self.margins):
            faults.append(f"got {len(self.margins)} margins and {len(self.probabilities)} probabilities")
        if np.any(np.diff(self.margins) < 0) or np.any(np.diff(self.probabilities) < 0):
            faults.append("margins and probabilities must rise")
        if faults:
            raise ValueError("calibration: " + "; ".join(faults))

    def __call__(self, margins: ArrayLike) -> Floats:
        """P(a preferred), shape as margins; NaN for NaN."""
        m = np.asarray(margins, dtype=np.float64)
        if self.method == "isotonic":
            return np.asarray(np.where(np.isnan(m), np.nan, np.interp(m, self.margins, self.probabilities)))
        return sigmoid(m / self.scale + self.intercept * np.sign(m))

    def to_dict(self) -> dict[str, Any]:
        """What of it has not its default value, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if value not in ((), 0.0) and value != 1.0}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises ValueError for fields that are not known or do not fit."""
        try:
            own: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
            return cls(**own)
        except TypeError as error:
            raise ValueError(f"calibration: {error}") from error


def fit_calibration(method: CalibrationMethod, margins: ArrayLike, outcomes: ArrayLike | None = None) -> Calibration:
    """The calibration of a kind that makes P of the preferred responses most likely.

    Every pair counts in both orders. `temperature` and `platt` maximise likelihood; outcomes are first drawn in by
    1 / (n + 2), as Platt 1999 does, so that pairs which are all ordered right do not ask for an endless slope.
    `isotonic` has the least squares (Zadrozny & Elkan 2002), and its probabilities stay as far from 0 and 1.

    Args:
        method: the kind.
        margins: R(preferred) - R(other), finite, shape (n,), n >= 1.
        outcomes: the share of people who preferred it, shape (n,); None is 1.
    """
    m = np.asarray(margins, dtype=np.float64)
    drawn_in = 1 / (len(m) + 2)
    share = drawn_in + (1 - 2 * drawn_in) * (np.ones(len(m)) if outcomes is None else np.asarray(outcomes))
    if method == "isotonic":
        points, values = _isotonic(np.concatenate([m, -m]), np.concatenate([share, 1 - share]))
        values = np.clip(values, drawn_in, 1 - drawn_in)
        values = (values + 1 - np.interp(-points, points, values)) / 2  # antisymmetric to the last digit
        return Calibration("isotonic", margins=tuple(points.tolist()), probabilities=tuple(values.tolist()))
    from scipy import optimize

    unit = float(np.sqrt(np.mean(m**2))) or 1.0
    size, sign = np.abs(m) / unit, np.sign(m)
    features = np.stack([size, np.abs(sign) * (method == "platt")], axis=1)
    agreed = np.where(sign >= 0, share, 1 - share)  # whether the larger reward was preferred

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = features @ weights
        gradient = features.T @ (sigmoid(logits) - agreed)
        return float(np.sum(np.logaddexp(0, logits) - agreed * logits)) / len(m), gradient / len(m)

    bounds = [(1e-4, 1e4), (0.0, 50.0)]
    found = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    slope, intercept = found.x
    return Calibration(method, scale=unit / float(slope), intercept=float(intercept) if method == "platt" else 0.0)


def _isotonic(margins: Floats, outcomes: Floats) -> tuple[Floats, Floats]:
    """The rising function nearest to the outcomes, shape (n,), as the corners between which it is straight."""
    from scipy.optimize import isotonic_regression

    points, at, counts = np.unique(margins, return_inverse=True, return_counts=True)
    values = isotonic_regression(np.bincount(at, outcomes) / counts, weights=counts).x
    corner = np.ones(len(points), dtype=bool)
    corner[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return points[corner], values[corner]


def _bin_of(probabilities: Floats, bins: int) -> np.ndarray:
    return np.minimum((probabilities * bins).astype(np.int64), bins - 1)
