"""The pairs that accuracy counts among judged responses, and what rewards get on them, with paired intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from guerdon.data.preferences import TIE
from guerdon.metrics import (
    Floats,
    Interval,
    Ints,
    accuracy_ties_half,
    bootstrap_distribution,
    length_balanced_accuracy,
    percentile_interval,
    spearman,
    within_group_pairs,
)
from guerdon.rewards.judged import JudgedResponses

MOST_PAIRS = 20_000
"""So many pairs of rated responses are counted; of more, this many are drawn at random."""
RESAMPLES = 500


@dataclass(frozen=True, slots=True, eq=False)
class CountedPairs:
    """Pairs of responses that people ordered: p of them, among m observations."""

    first: Ints
    """The observation whose margin is above 0 where a reward agrees; shape (p,)."""
    second: Ints | None
    """For ratings, the lower-rated observation, whose margin is subtracted; shape (p,)."""
    longer: Ints
    """Characters of the better response minus those of the worse; shape (p,)."""
    clusters: Ints
    """What is drawn together, of each of the m observations, codes 0..C-1; shape (m,)."""

    @classmethod
    def of(cls, judged: JudgedResponses, where: Ints | None = None, seed: int = 0) -> CountedPairs:
        """The pairs among the observations in `where` (all by default); ties of people take no part."""
        places = np.arange(len(judged)) if where is None else where
        codes = np.unique(judged.group, return_inverse=True)[1].astype(np.int64)
        if not codes.any():
            codes = np.arange(len(judged))
        lengths = np.array([len(text) for text in judged.responses], dtype=np.int64)
        if judged.objective == "pairs":
            first = places[judged.target[places] != TIE]
            return cls(first, None, lengths[judged.better[first]] - lengths[judged.worse[first]], codes)
        high, low = within_group_pairs(judged.target[places], np.zeros(len(places), dtype=np.int64))
        if len(high) > MOST_PAIRS:
            drawn = np.random.default_rng(seed).choice(len(high), MOST_PAIRS, replace=False)
            high, low = high[drawn], low[drawn]
        first, second = places[high], places[low]
        return cls(first, second, lengths[judged.better[first]] - lengths[judged.better[second]], codes)

    def margins(self, margins: Floats) -> Floats:
        """Margins of the m observations, shape (m, ...), as those of the counted pairs, shape (p, ...)."""
        return margins[self.first] if self.second is None else margins[self.first] - margins[self.second]

    def weights(self, drawn: Floats) -> Floats:
        """How often observations were drawn, shape (b, m), as how often pairs were, shape (b, p)."""
        if self.second is None:
            return drawn[:, self.first]
        apart = self.clusters[self.first] != self.clusters[self.second]
        return drawn[:, self.first] * np.where(apart, drawn[:, self.second], 1.0)

    def accuracy(self, margins: Floats) -> Floats:
        """The accuracy of margins of shape (m, s), shape (s,)."""
        return np.asarray(accuracy_ties_half(self.margins(margins)))

    def resampled_accuracy(self, margins: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
        """The accuracies of margins, shape (m, s), when clusters are drawn with replacement; (resamples, s)."""
        own = self.margins(margins)
        return bootstrap_distribution(
            lambda drawn: np.asarray(accuracy_ties_half(own, self.weights(drawn))),
            self.clusters,
            resamples=resamples,
            seed=seed,
        )

    def length_correlation(self, margins: Floats) -> float:
        """Rank correlation of differences in reward with differences in length, shape (m,), in -1 to 1.

        Each pair counts in both directions, so that which response was preferred plays no part.
        """
        own, longer = self.margins(margins), self.longer.astype(np.float64)
        if not len(own) or not longer.any():
            return float("nan")
        return float(spearman(np.concatenate([own, -own]), np.concatenate([longer, -longer])))


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What several rewards get on the same pairs, by resamples of the same clusters: differences are paired."""

    accuracy: Mapping[str, Interval]
    length_balanced: Mapping[str, Interval]
    length_correlation: Mapping[str, float]
    resampled: Mapping[str, Floats] = field(repr=False)
    """Name -> accuracy in each resample, shape (resamples,)."""

    @classmethod
    def of(cls, pairs: CountedPairs, margins: Mapping[str, Floats], seed: int = 0) -> Measured:
        """Measures named margins of the m observations, each of shape (m,)."""
        names = list(margins)
        stacked = np.stack([margins[name] for name in names], axis=1)
        own = pairs.margins(stacked)

        def both(drawn: Floats) -> Floats:
            weights = pairs.weights(drawn)
            return np.stack(
                [accuracy_ties_half(own, weights), length_balanced_accuracy(own, pairs.longer, weights)], axis=-1
            )

        points = both(np.ones((1, len(pairs.clusters))))[0]
        drawn = bootstrap_distribution(both, pairs.clusters, resamples=RESAMPLES, seed=seed)

        def intervals(metric: int) -> dict[str, Interval]:
            return {
                name: percentile_interval(points[place, metric], drawn[:, place, metric])
                for place, name in enumerate(names)
            }

        return cls(
            intervals(0),
            intervals(1),
            {name: pairs.length_correlation(margins[name]) for name in names},
            {name: drawn[:, place, 0] for place, name in enumerate(names)},
        )

    def knows_more_than_length(self, name: str, rule: str) -> bool:
        """Whether a reward is clearly better than a rule of length, and clearly better than guessing without length.

        Both are asked: what orders no more pairs than the rule has not shown that reading pays, however it gets there;
        and what is right in half of the pairs once length is balanced may follow length by another way.
        """
        return bool(self.difference(name, rule).low > 0 and self.balanced(name).low > 0.5)

    def balanced(self, name: str) -> Interval:
        """Length-balanced accuracy; plain accuracy where length never decides against what was preferred."""
        found = self.length_balanced[name]
        return self.accuracy[name] if np.isnan(found.point) else found

    def difference(self, name: str, other: str) -> Interval:
        """Accuracy of one minus that of another, with its paired 95% interval."""
        point = self.accuracy[name].point - self.accuracy[other].point
        return percentile_interval(point, self.resampled[name] - self.resampled[other])

    def standard_error(self, name: str, other: str) -> float:
        """The standard error of that difference."""
        return float(np.nanstd(self.resampled[name] - self.resampled[other]))
