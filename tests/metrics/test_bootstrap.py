"""The coverage of the bootstrap on a known case, and its textbook spread."""

from __future__ import annotations

import time

import numpy as np
import pytest

from guerdon import metrics
from guerdon.metrics import bootstrap


def correlated_margins(rng: np.random.Generator, prompts: int, per_prompt: int) -> tuple[np.ndarray, np.ndarray]:
    """Margins whose sign has probability 1/2 but is mostly shared within a prompt."""
    shared = rng.normal(size=prompts).repeat(per_prompt)
    return shared + 0.3 * rng.normal(size=prompts * per_prompt), np.arange(prompts).repeat(per_prompt)


def test_clustered_intervals_cover_and_naive_ones_do_not():
    rng = np.random.default_rng(7)
    clustered = naive = 0
    trials = 300
    for trial in range(trials):
        margins, prompts = correlated_margins(rng, prompts=60, per_prompt=8)

        def statistic(weights: np.ndarray, margins: np.ndarray = margins) -> np.ndarray:
            return metrics.accuracy_ties_half(margins, weights)

        by_prompt = metrics.clustered_bootstrap(statistic, prompts, resamples=300, seed=trial)
        by_row = metrics.clustered_bootstrap(statistic, np.arange(len(margins)), resamples=300, seed=trial)
        clustered += by_prompt.low <= 0.5 <= by_prompt.high
        naive += by_row.low <= 0.5 <= by_row.high
    assert 0.90 <= clustered / trials <= 0.98
    assert naive / trials < 0.75


def test_bootstrap_spread_is_the_textbook_one():
    outcomes = np.repeat([1.0, -1.0], [700, 300])
    interval = metrics.clustered_bootstrap(
        lambda weights: metrics.accuracy_ties_half(outcomes, weights), np.arange(1000), resamples=4000
    )
    half = 1.96 * np.sqrt(0.7 * 0.3 / 1000)
    assert interval.point == 0.7
    assert interval.low == pytest.approx(0.7 - half, abs=0.004)
    assert interval.high == pytest.approx(0.7 + half, abs=0.004)


def test_bootstrap_is_seeded_and_does_not_depend_on_chunks(monkeypatch):
    margins, prompts = correlated_margins(np.random.default_rng(0), 20, 5)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return metrics.accuracy_ties_half(margins, weights)

    whole = metrics.bootstrap_distribution(statistic, prompts, resamples=50, seed=3)
    monkeypatch.setattr(bootstrap, "_CHUNK_ELEMENTS", 700)
    np.testing.assert_array_equal(metrics.bootstrap_distribution(statistic, prompts, resamples=50, seed=3), whole)
    assert (metrics.bootstrap_distribution(statistic, prompts, resamples=50, seed=4) != whole).any()


def test_one_cluster_has_no_interval():
    interval = metrics.clustered_bootstrap(lambda w: metrics.accuracy_ties_half([1.0, -1.0], w), [0, 0])
    assert interval.point == 0.5
    assert np.isnan([interval.low, interval.high]).all()
    assert np.isnan(metrics.clustered_bootstrap(lambda w: w.sum(-1), []).point)


def test_ten_thousand_pairs_take_under_two_seconds():
    margins = np.random.default_rng(0).normal(size=10_000)
    start = time.process_time()
    metrics.clustered_bootstrap(lambda weights: metrics.accuracy_ties_half(margins, weights), np.arange(10_000))
    assert time.process_time() - start < 2


def test_mean_interval_leaves_out_what_is_missing_and_draws_clusters():
    values = [0.0, 1.0, np.nan, 1.0, 0.0]
    found = metrics.mean_interval(values, ["a", "a", "b", "c", "c"])
    assert (found.point, found.low, found.high) == (0.5, 0.5, 0.5), "every cluster has the same mean"
    alone = metrics.mean_interval(values)
    assert alone.low < alone.point < alone.high
    assert np.isnan(metrics.mean_interval([np.nan]).point)
