"""Which metric of agreement foretold what a reward brings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from guerdon.evaluate.results import Evaluation
from guerdon.metrics import (
    Floats,
    Interval,
    best_of_n_probabilities,
    bootstrap_distribution,
    cluster_codes,
    format_value,
    pearson,
    percentile_interval,
    spearman,
)
from guerdon.types import Candidates, group_key

FEWEST_FORETOLD = 6
"""Fewer rewards say nothing of which metric foretells the gain."""


def foretold(
    agreement: Evaluation,
    candidates: Sequence[Candidates],
    rewards: Mapping[str, Sequence[Floats]],
    judged: Sequence[Floats],
    n: int,
    seed: int,
) -> tuple[dict[str, Interval], str]:
    """Each metric of agreement -> its rank correlation, over the rewards, with the gain of the best of n.

    The first kind of rows counts. Metrics that a reward lacks are left out; so is everything below six rewards. Every
    interval draws rows (agreement), prompts (gains) and rewards anew. A perfect order stays perfect however it is
    drawn, so the sentence beside says what chance gets of so few rewards.

    Args:
        agreement: how far the rewards agree with people.
        candidates: prompts with their responses.
        rewards: name -> rewards of the responses to each prompt.
        judged: the same by gold; NaN for a response that takes no part.
        n: how many responses a reward picks from.
        seed: of the draws.
    """
    from scipy.stats import rankdata

    part = agreement.sections[0].overall
    places = {system.name: place for place, system in enumerate(part.systems) if system.name in rewards}
    if len(places) < FEWEST_FORETOLD:
        return {}, ""
    kept = [i for i, values in enumerate(judged) if np.isfinite(values).sum() >= n]
    gains = np.array([[_gain(rewards[name][i], judged[i], n) for name in places] for i in kept])
    codes = cluster_codes([group_key(candidates[i]) for i in kept])
    drawn_gains = bootstrap_distribution(
        lambda weights: weights @ gains / weights.sum(1, keepdims=True), codes, resamples=agreement.resamples, seed=seed
    )
    draws = np.random.default_rng(seed).integers(len(places), size=drawn_gains.shape)
    found = {}
    for metric, drawn in part.resampled.items():
        values = [part.systems[place].metrics.get(metric, Interval(math.nan)).point for place in places.values()]
        if np.isnan(values).any():
            continue
        own = rankdata(np.take_along_axis(drawn[:, list(places.values())], draws, axis=1), axis=1)
        theirs = rankdata(np.take_along_axis(drawn_gains, draws, axis=1), axis=1)
        found[metric] = percentile_interval(spearman(values, gains.mean(axis=0)), pearson(own, theirs))
    note = (
        f"Of {len(places)} rewards, a metric that foretells nothing reaches a rank correlation of "
        f"{format_value(by_chance(len(places)))} or more, either way, in one case of "
        f"twenty; these are {len(found)} metrics."
    )
    return found, note


def by_chance(count: int, orders: int = 20_000) -> float:
    """The size of Spearman's correlation that at most 5% of random orders of so many things reach."""
    drawn = np.random.default_rng(0).permuted(np.tile(np.arange(count), (orders, 1)), axis=1)
    sizes, counts = np.unique(np.abs(pearson(drawn, np.arange(count))).round(9), return_counts=True)
    reached = counts[::-1].cumsum()[::-1] / orders
    return float(sizes[reached <= 0.05][0])


def _gain(rewards: Floats, gold: Floats, n: int) -> float:
    """What gold gives the best of n by a reward, less what it gives a response at random, for one prompt."""
    there = np.isfinite(gold)
    return float(best_of_n_probabilities(rewards[there], n) @ gold[there] - gold[there].mean())
