from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from guerdon.metrics.bootstrap import clustered_bootstrap
from guerdon.metrics.clustered_t import clustered_mean, q_values
from guerdon.metrics.paired_tests import minimum_detectable_difference


def test_clusters_of_one_are_the_t_test_of_scipy():
    x = np.random.default_rng(0).normal(0.3, 1, 40)
    found, theirs = clustered_mean(x, np.arange(40)), stats.ttest_1samp(x, 0.1)
    assert found.p_value(0.1) == pytest.approx(theirs.pvalue, rel=1e-12)
    assert (found.interval.low, found.interval.high) == pytest.approx(theirs.confidence_interval())
    assert (found.n, found.clusters) == (40, 40)


def test_rows_that_repeat_a_cluster_add_nothing():
    x = np.random.default_rng(1).normal(size=30)
    once, five = clustered_mean(x, np.arange(30)), clustered_mean(np.repeat(x, 5), np.repeat(np.arange(30), 5))
    assert five.standard_error == pytest.approx(once.standard_error)
    assert five.n == 150
    assert five.p_value() == pytest.approx(once.p_value())


def test_nan_does_not_count_and_nothing_is_nothing():
    assert clustered_mean([1.0, math.nan, 3.0], [0, 1, 2]).mean == 2
    empty = clustered_mean([], [])
    assert empty.n == empty.clusters == 0
    assert math.isnan(empty.interval.low)
    assert empty.p_value() == 1
    assert math.isnan(clustered_mean([1.0, 2.0], [7, 7]).standard_error)


def test_a_few_clusters_that_agree_are_no_proof():
    found = clustered_mean(np.full(6, 0.1 + 0.2), np.arange(6))
    assert found.standard_error == 0
    assert found.p_value() == 2.0**-5
    assert clustered_mean(np.ones(200), np.arange(200)).p_value(0.5) < 1e-50


def test_a_share_stays_between_0_and_1_and_is_never_without_doubt():
    assert clustered_mean([1.0] * 8 + [0.0], np.arange(9)).share.high == 1
    unanimous = clustered_mean(np.ones(10), np.arange(10)).share
    assert (unanimous.point, unanimous.high) == (1, 1)
    assert unanimous.low == pytest.approx(stats.binomtest(10, 10).proportion_ci().low)
    nobody = clustered_mean(np.zeros(10), np.arange(10)).share
    assert (nobody.low, nobody.high) == (0, pytest.approx(1 - unanimous.low))
    assert math.isnan(clustered_mean([1.0], [0]).share.low)


def test_what_is_detectable_is_found_in_four_of_five_sets():
    rng = np.random.default_rng(2)
    clusters, noise = np.repeat(np.arange(120), 3), rng.normal(size=(600, 120))
    sets = np.repeat(noise, 3, axis=1) + rng.normal(size=(600, 360))
    size = minimum_detectable_difference(clustered_mean(sets[0], clusters).standard_error)
    found = [clustered_mean(one + size, clusters).p_value() < 0.05 for one in sets]
    assert 0.7 < np.mean(found) < 0.9


@pytest.mark.parametrize("bootstrap", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_intervals_cover_in_93_to_97_of_100_clustered_sets(bootstrap):
    """2,000 sets of 100 clusters of uneven size."""
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 8, 100)
    clusters, held = np.repeat(np.arange(100), sizes), []
    for seed in range(2000):
        right = (rng.random(len(clusters)) < np.repeat(rng.beta(2.1, 0.9, 100), sizes)).astype(float)
        if bootstrap:
            interval = clustered_bootstrap(lambda w, x=right: w @ x / w.sum(-1), clusters, resamples=400, seed=seed)
        else:
            interval = clustered_mean(right, clusters).interval
        held.append(interval.low <= 0.7 <= interval.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_q_values_of_a_known_family():
    assert q_values([0.01, 0.04, 0.03, 0.5]).tolist() == pytest.approx([0.04, 4 / 75, 4 / 75, 0.5])
    assert len(q_values([])) == 0
