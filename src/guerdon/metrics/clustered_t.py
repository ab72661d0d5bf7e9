"""The mean of clustered values with a t interval: closed form, so that hundreds of means and sets cost nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from guerdon.metrics.bootstrap import Interval
from guerdon.metrics.formulas import Floats


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """A mean, and how sure it is; NaN where it has no values."""

    mean: float
    standard_error: float
    """NaN with fewer than two clusters."""
    clusters: int
    n: int

    @property
    def interval(self) -> Interval:
        """The mean with its 95% interval, mean -+ t(0.975, clusters - 1) SE."""
        half = self._t(0.975) * self.standard_error
        return Interval(self.mean, self.mean - half, self.mean + half)

    @property
    def share(self) -> Interval:
        """As `interval`, for values from 0 to 1: inside that range, and never without width.

        Where all clusters agree on 0 or 1, nothing varies; the bound is that of Clopper and Pearson (1934) for so many
        observations.
        """
        if self.clusters < 2:
            return Interval(self.mean)
        if self.standard_error == 0 and self.mean in (0.0, 1.0):
            bound = 0.025 ** (1 / self.clusters)
            return Interval(1.0, bound, 1.0) if self.mean == 1 else Interval(0.0, 0.0, 1 - bound)
        interval = self.interval
        return Interval(self.mean, max(0.0, interval.low), min(1.0, interval.high))

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided P of a mean this far from `null` where that is the truth; 1 where nothing can be told.

        It is never below 2^(1 - clusters), the least that flipping the signs of whole clusters can give: a few clusters
        that agree exactly have no standard error, but are no proof.
        """
        from scipy import stats

        if self.clusters < 2 or self.mean == null:
            return 1.0
        with np.errstate(divide="ignore"):
            t = np.float64(abs(self.mean - null)) / self.standard_error
        return float(min(1.0, max(2 * stats.t.sf(t, self.clusters - 1), 2.0 ** (1 - self.clusters))))

    def _t(self, quantile: float) -> float:
        from scipy import stats

        return float(stats.t.ppf(quantile, self.clusters - 1)) if self.clusters > 1 else float("nan")


def clustered_mean(values: ArrayLike, clusters: ArrayLike) -> ClusteredMean:
    """The mean of values that come in clusters, and its cluster-robust standard error.

        SE^2 = C / (C - 1) sum_c (sum_{i in c} (x_i - mean))^2 / n^2

    (Liang & Zeger 1986 for a mean, with the correction of Cameron & Miller 2015, doi:10.3368/jhr.50.2.317.)

    Args:
        values: shape (n,); NaN does not count.
        clusters: the cluster of each value, any whole numbers, shape (n,).
    """
    x, codes = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    there = ~np.isnan(x)
    x, codes = x[there], np.unique(codes[there], return_inverse=True)[1]
    if not len(x):
        return ClusteredMean(float("nan"), float("nan"), 0, 0)
    mean, count = float(x.mean()), int(codes.max()) + 1
    sums = np.bincount(codes, weights=x - mean)
    error = float(np.sqrt(count / (count - 1) * np.square(sums).sum())) / len(x) if count > 1 else float("nan")
    # What is the same in every row differs by rounding alone.
    return ClusteredMean(mean, 0.0 if error < 1e-12 * max(1.0, abs(mean)) else error, count, len(x))


def q_values(p_values: ArrayLike) -> Floats:
    """The q-values of one family of tests (Benjamini & Hochberg 1995), shape as the p-values; none are NaN."""
    from scipy import stats

    p = np.asarray(p_values, dtype=np.float64)
    return np.asarray(stats.false_discovery_control(p)) if len(p) else p
