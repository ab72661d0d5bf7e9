"""Learning curves: accuracy by number of judgements, and what more of them would bring.

err(n) = a + b n^-c        (Hestness et al. 2017, arXiv:1712.00409; Viering & Loog 2021, arXiv:2103.10948)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.evaluate.counted_pairs import CountedPairs
from guerdon.metrics import Floats, Ints
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.cross_validation import BLEND, FOLDS, Member, measure_unseen

FRACTIONS = (1 / 8, 1 / 4, 1 / 2)
"""Of the training groups; all of them are what the cross-validation has measured."""
DRAWS = 2
"""Subsamples of each fraction, in every fold."""
FEW_GROUPS = 40
"""With fewer training groups, single observations are drawn instead of groups."""
BAND = 0.8
"""What share of the plausible gains a band holds."""
_SAMPLES = 1000
_EXPONENTS = np.arange(0.05, 0.51, 0.05)
"""Plausible c of the power law: 0.07 to 0.35 on deep networks (Hestness et al.), 1/2 for plain estimation noise."""
_MISFIT = 0.01
"""Standard deviation of what no power law knows: that the next judgements are not quite like those that are there."""


@dataclass(frozen=True, slots=True, eq=False)
class SizeCurve:
    """Accuracies of one candidate by the number of observations that it learnt from."""

    sizes: Floats
    """Observations, ascending, shape (k,): the mean over folds and draws; the last is that of the cross-validation."""
    accuracies: Floats
    """Means over draws, shape (k,)."""
    resampled: Floats
    """The same when groups are drawn with replacement, shape (resamples, k)."""
    by_draw: Floats
    """Accuracies of the single draws of each subsample, shape (k - 1, draws)."""

    @property
    def deviation(self) -> float:
        """How much the accuracy of a fit on everything differs by which observations were drawn; one deviation.

        The variance of a draw is taken to fall with the number of observations.
        """
        shares = self.sizes[:-1] / self.sizes[-1]
        return float(np.sqrt((self.by_draw.var(axis=1, ddof=1) * shares).mean()))


@dataclass(frozen=True, slots=True)
class Gain:
    """What more judgements would bring."""

    more: int
    """Observations more than there are."""
    low: float
    """Accuracy gained, lower end of the 80% band."""
    point: float
    """Its median."""
    high: float


def subsample(judged: JudgedResponses, seen: Ints, fraction: float, rng: np.random.Generator) -> Ints:
    """A share of the observations in `seen`: whole groups, or single observations where there are few groups."""
    codes = judged.group[seen]
    groups = np.unique(codes)
    if len(groups) < FEW_GROUPS:
        return np.sort(rng.choice(seen, max(8, round(fraction * len(seen))), replace=False))
    kept = rng.choice(groups, max(8, round(fraction * len(groups))), replace=False)
    return seen[np.isin(codes, kept)]


def learning_curves(
    members: Sequence[Member],
    judged: JudgedResponses,
    margins: Mapping[str, Floats],
    pairs: CountedPairs,
    *,
    seed: int = 0,
    on_part: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, SizeCurve]:
    """Measures members (two or more) and blend on every fold by fits on subsamples of the other folds.

    `margins` are what `cross_validate` with the same seed found on all of it; `on_part` is called after each fold of
    each draw with how many are done, and of how many.

    Returns:
        Name of each fitted member, and `blend` -> its curve.
    """
    fold_of = judged.folds(FOLDS, seed)
    rng = np.random.default_rng(seed)
    names = [*(member.name for member in members if member.penalties), BLEND]
    found = {name: np.zeros((len(judged), len(FRACTIONS), DRAWS)) for name in names}
    sizes = np.zeros(len(FRACTIONS) + 1)
    folds = np.unique(fold_of)
    done, of = 0, DRAWS * len(folds)
    for draw in range(DRAWS):
        for fold in folds:
            seen, unseen = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
            sizes[-1] += len(seen) / of
            for place, fraction in enumerate(FRACTIONS):
                part = subsample(judged, seen, fraction, rng)
                sizes[place] += len(part) / of
                _, values = measure_unseen(members, judged, part, unseen, seed=seed + draw)
                for name in names:
                    found[name][unseen, place, draw] = values[name]
            done += 1
            on_part(done, of)
    return {name: _curve(sizes, found[name], margins[name], pairs, seed) for name in names}


def _curve(sizes: Floats, parts: Floats, whole: Floats, pairs: CountedPairs, seed: int) -> SizeCurve:
    """A curve from margins on subsamples, shape (m, fractions, draws), and on everything, shape (m,)."""
    count, fractions, draws = parts.shape
    stacked = np.concatenate([parts.reshape(count, -1), whole[:, None]], axis=1)
    resampled = pairs.resampled_accuracy(stacked, seed=seed)
    points = pairs.accuracy(stacked)
    by_draw = points[:-1].reshape(fractions, draws)
    means = [resampled[:, :-1].reshape(-1, fractions, draws).mean(axis=2), resampled[:, -1:]]
    return SizeCurve(sizes, np.append(by_draw.mean(axis=1), points[-1]), np.concatenate(means, axis=1), by_draw)


def expected_gain(curve: SizeCurve, more: int, now: int) -> Gain:
    """The accuracy that `more` observations would add to what `now` of them give, with its band.

    Each sample of the band draws groups (a resample), draws of the training observations (normal noise), one of the
    power laws that fit the curve, with the probability that its fit deserves, and a point of misfit.
    """
    rng = np.random.default_rng(0)
    drawn = curve.resampled[np.arange(_SAMPLES) % len(curve.resampled)]
    draws = np.append(np.full(len(curve.sizes) - 1, curve.by_draw.shape[1]), 1)
    noise = curve.deviation * np.sqrt(curve.sizes[-1] / curve.sizes / draws)
    errors = 1 - drawn + rng.normal(size=drawn.shape) * noise
    own = errors - errors.mean(axis=1, keepdims=True)
    scale = np.sqrt(own.var(axis=0) + 1e-6)
    gains = _sampled_gains(curve.sizes, errors, scale, now, more, rng)
    gains = gains + rng.normal(size=len(gains)) * np.hypot(curve.deviation, _MISFIT)
    low, point, high = np.quantile(gains, [(1 - BAND) / 2, 0.5, (1 + BAND) / 2])
    return Gain(more, float(low), float(point), float(high))


def _sampled_gains(
    sizes: Floats, errors: Floats, scale: Floats, now: int, more: int, rng: np.random.Generator
) -> Floats:
    """One gain for each row of errors, shape (samples, k): an exponent is drawn, and a and b are least squares."""
    weights = 1 / scale**2
    gains, misfits = [], []
    for exponent in _EXPONENTS:
        x = (sizes / now) ** -exponent
        centre = weights @ x / weights.sum()
        mean = errors @ weights / weights.sum()
        slope = np.maximum((errors * weights) @ (x - centre) / (weights @ (x - centre) ** 2), 0.0)
        left = errors - mean[:, None] - slope[:, None] * (x - centre)
        misfits.append(left**2 @ weights)
        gains.append(slope * (1 - ((now + more) / now) ** -exponent))
    likelihood = np.exp(-0.5 * (np.stack(misfits, axis=1) - np.min(misfits, axis=0)[:, None]))
    cumulated = np.cumsum(likelihood, axis=1) / likelihood.sum(axis=1, keepdims=True)
    chosen = np.minimum((rng.uniform(size=(len(errors), 1)) > cumulated).sum(axis=1), len(_EXPONENTS) - 1)
    return np.asarray(np.stack(gains, axis=1)[np.arange(len(errors)), chosen])
