"""Laws (hypothesis), and parity with scipy and scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import ndcg_score

from guerdon import metrics

# Few distinct values, so that ties are common.
grades = st.integers(-4, 4).map(float)


def paired() -> st.SearchStrategy[tuple[np.ndarray, ...]]:
    """Scores, truth, whole-number weights and group codes of one length."""
    return st.integers(2, 30).flatmap(
        lambda n: st.tuples(
            arrays(float, n, elements=grades),
            arrays(float, n, elements=grades),
            arrays(int, n, elements=st.integers(0, 3)),
            arrays(int, n, elements=st.integers(0, 3)),
        )
    )


@given(paired())
def test_accuracy_is_swap_antisymmetric(data):
    margins, differences, weights, _ = data
    weights = weights + 1
    assert metrics.accuracy_ties_half(-margins, weights) == pytest.approx(
        1 - metrics.accuracy_ties_half(margins, weights)
    )
    # Swapping the responses of every pair swaps who is longer, too.
    assert metrics.length_balanced_accuracy(-margins, -differences, weights) == pytest.approx(
        1 - metrics.length_balanced_accuracy(margins, differences, weights), nan_ok=True
    )


def test_equal_rewards_count_half():
    assert metrics.accuracy_ties_half(np.zeros(7)) == 0.5
    assert metrics.accuracy_ties_half([1.0, 0.0, -1.0, 2.0]) == 0.625


def test_a_missing_reward_is_never_counted_as_wrong():
    assert np.isnan(metrics.accuracy_ties_half([1.0, np.nan]))


def test_no_pairs_have_no_accuracy():
    assert np.isnan(metrics.accuracy_ties_half([]))


@given(paired())
def test_whole_weights_are_repetitions(data):
    scores, truth, weights, _ = data
    again = np.repeat(np.arange(len(scores)), weights)
    if not len(again):
        return
    assert metrics.accuracy_ties_half(scores, weights) == pytest.approx(metrics.accuracy_ties_half(scores[again]))
    for metric in (metrics.spearman, metrics.pearson):
        assert metric(scores, truth, weights) == pytest.approx(metric(scores[again], truth[again]), nan_ok=True)


@given(paired())
def test_several_weightings_and_scorers_at_once(data):
    scores, truth, weights, _ = data
    both = np.stack([weights, weights[::-1]])
    accuracy = metrics.accuracy_ties_half(np.stack([scores, truth], axis=-1), both)
    correlation = metrics.spearman(scores, truth, both)
    assert accuracy.shape == (2, 2)
    for i, row in enumerate(both):
        assert accuracy[i, 0] == pytest.approx(metrics.accuracy_ties_half(scores, row), nan_ok=True)
        assert accuracy[i, 1] == pytest.approx(metrics.accuracy_ties_half(truth, row), nan_ok=True)
        assert correlation[i] == pytest.approx(metrics.spearman(scores, truth, row), nan_ok=True)


def test_a_reward_that_reads_length_is_balanced_to_one_half():
    differences = np.array([5, 3, 9, 1, -2])
    assert metrics.accuracy_ties_half(differences) == 0.8
    assert metrics.length_balanced_accuracy(differences, differences) == 0.5
    assert np.isnan(metrics.length_balanced_accuracy(differences[:4], differences[:4]))


@given(paired())
def test_rank_metrics_see_only_the_order(data):
    scores, truth, _, groups = data
    moved = np.exp(scores) * 3 - 10  # strictly increasing
    groups = metrics.cluster_codes(groups.tolist())
    assert metrics.spearman(moved, truth) == pytest.approx(metrics.spearman(scores, truth), nan_ok=True)
    assert metrics.kendall(moved, truth) == pytest.approx(metrics.kendall(scores, truth), nan_ok=True)
    assert metrics.ndcg(moved, truth) == pytest.approx(metrics.ndcg(scores, truth), nan_ok=True)
    np.testing.assert_allclose(
        metrics.spearman_by_group(moved, truth, groups), metrics.spearman_by_group(scores, truth, groups)
    )


@given(paired())
def test_correlations_are_those_of_scipy(data):
    scores, truth, _, _ = data
    np.testing.assert_array_equal(metrics.midranks(scores), stats.rankdata(scores))
    if np.ptp(scores) and np.ptp(truth):
        assert metrics.spearman(scores, truth) == pytest.approx(stats.spearmanr(scores, truth).statistic)
        assert metrics.pearson(scores, truth) == pytest.approx(stats.pearsonr(scores, truth).statistic)
        assert metrics.kendall(scores, truth) == pytest.approx(stats.kendalltau(scores, truth).statistic)


def test_constants_order_nothing():
    varied, constant = np.array([0.1, 0.2, 0.3]), np.full(3, 0.1)
    groups = np.zeros(3, dtype=int)
    for metric in (metrics.pearson, metrics.spearman, metrics.kendall):
        assert metric(constant, varied) == 0
        assert np.isnan(metric(varied, constant))
    assert metrics.spearman_by_group(constant, varied, groups).tolist() == [0]
    assert np.isnan(metrics.spearman_by_group(varied, constant, groups)).all()


@given(paired())
def test_figures_by_group_are_those_of_each_group(data):
    scores, truth, _, groups = data
    groups = metrics.cluster_codes(groups.tolist())
    expected = [metrics.spearman(scores[groups == g], truth[groups == g]) for g in range(groups.max() + 1)]
    np.testing.assert_allclose(metrics.spearman_by_group(scores, truth, groups), expected, atol=1e-12)
    better, worse = metrics.within_group_pairs(truth, groups)
    pairs = {(i, j) for i in range(len(truth)) for j in range(len(truth)) if groups[i] == groups[j]}
    assert sorted(zip(better.tolist(), worse.tolist(), strict=True)) == sorted(
        (i, j) for i, j in pairs if truth[i] > truth[j]
    )


def test_too_many_pairs_are_drawn_evenly():
    truth, groups = np.arange(400.0), np.repeat([0, 1], [100, 300])
    better, worse = metrics.within_group_pairs(truth, groups, limit=20_000, seed=1)
    assert len({*zip(better.tolist(), worse.tolist(), strict=True)}) == len(better)
    assert (groups[better] == groups[worse]).all()
    assert (truth[better] > truth[worse]).all()
    assert len(better) == pytest.approx(10_000, abs=300)  # one of the two orders of a pair
    share = 300 * 299 / (300 * 299 + 100 * 99)
    assert (groups[better] == 1).mean() == pytest.approx(share, abs=0.01)


@given(paired(), st.integers(1, 12))
def test_ndcg_is_that_of_sklearn(data, k):
    scores, truth, _, _ = data
    relevance = np.abs(truth)
    if np.ptp(relevance):
        assert metrics.ndcg(scores, relevance, k) == pytest.approx(ndcg_score([relevance], [scores], k=k))
        gains = np.exp2(relevance) - 1
        assert metrics.ndcg(scores, relevance, k, exponential=True) == pytest.approx(ndcg_score([gains], [scores], k=k))


def test_ndcg_of_the_ideal_order_and_of_no_order():
    assert metrics.ndcg([3, 2, 1], [2, 1, -5]) == pytest.approx(1)
    assert np.isnan(metrics.ndcg([3, 2, 1], [1, 1, 1]))


@given(paired(), st.integers(1, 6))
def test_best_of_n_is_the_mean_over_all_subsets(data, n):
    scores, values, *_ = (column[:7] for column in data)
    n = min(n, len(scores))

    def best(chosen):
        top = scores[list(chosen)].max()
        return np.mean([values[i] for i in chosen if scores[i] == top])

    expected = np.mean([best(chosen) for chosen in itertools.combinations(range(len(scores)), n)])
    found = metrics.best_of_n_probabilities(scores, n)
    assert found.sum() == pytest.approx(1)
    assert found @ values == pytest.approx(expected)


def test_best_of_n_is_stable_for_many_candidates():
    found = metrics.best_of_n_probabilities(np.arange(4096.0), 2048)
    assert found.sum() == pytest.approx(1)
    assert found[-1] == pytest.approx(0.5)
    assert metrics.best_of_n_probabilities([3.0, 3.0, 1.0], 1) == pytest.approx([1 / 3] * 3)


def test_the_kl_bound_of_best_of_n_is_reached_without_ties():
    """KL of the density n F^(n-1) f against f is log n - (n - 1) / n."""
    for n in (1, 2, 16):
        u = (np.arange(200_000) + 0.5) / 200_000
        density = n * u ** (n - 1)
        assert metrics.best_of_n_kl(n) == pytest.approx(np.mean(density * np.log(density)), abs=1e-3)


@given(paired())
def test_the_best_pick_of_each_group(data):
    scores, truth, _, groups = data
    groups = metrics.cluster_codes(groups.tolist())
    found = metrics.best_pick_by_group(scores, truth, groups)
    for g in range(groups.max() + 1):
        own, people = scores[groups == g], truth[groups == g]
        if np.ptp(people) == 0:
            assert np.isnan(found[g])
            continue
        picked = people[own == own.max()].mean()
        assert found[g] == pytest.approx((picked - people.mean()) / (people.max() - people.mean()))
    assert np.nan_to_num(metrics.best_pick_by_group(truth, truth, groups), nan=1.0) == pytest.approx(1)
    assert np.nan_to_num(metrics.best_pick_by_group(truth * 0, truth, groups)) == pytest.approx(0)
