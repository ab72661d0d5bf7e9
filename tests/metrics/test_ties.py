"""Accuracy with ties, beside a plain search over all thresholds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from guerdon import metrics


def accuracy(scores, truth, groups, threshold):
    """acc_eq with this threshold: the mean over groups of (concordant + tied on both sides) / pairs."""
    values = []
    for g in np.unique(groups):
        pairs = list(itertools.combinations(np.flatnonzero(groups == g), 2))
        right = [
            np.sign(truth[i] - truth[j])
            == (0 if abs(scores[i] - scores[j]) <= threshold else np.sign(scores[i] - scores[j]))
            for i, j in pairs
        ]
        values += [np.mean(right)] if pairs else []
    return np.mean(values)


@given(
    st.integers(2, 14).flatmap(
        lambda n: st.tuples(
            arrays(float, n, elements=st.integers(-6, 6).map(float)),
            arrays(float, n, elements=st.integers(-2, 2).map(float)),
            arrays(int, n, elements=st.integers(0, 2)),
        )
    )
)
def test_the_threshold_is_the_best_of_all(data):
    scores, truth, groups = data
    groups = metrics.cluster_codes(groups.tolist())
    found = metrics.tie_calibrated_accuracy(scores, truth, groups)
    if len(np.unique(groups)) == len(groups):
        assert np.isnan(found.accuracy)
        return
    candidates = {0.0, *(abs(a - b) for a, b in itertools.combinations(scores.tolist(), 2))}
    assert found.accuracy == pytest.approx(max(accuracy(scores, truth, groups, one) for one in candidates))
    assert found.accuracy == pytest.approx(accuracy(scores, truth, groups, found.threshold))
    assert found.accuracy == pytest.approx(np.nanmean(found.by_group))


def test_a_worked_example():
    """People: a = b > c, so 3 pairs. Without ties the reward gets (a, c) and (b, c); with threshold 0.1 all three."""
    found = metrics.tie_calibrated_accuracy([1.0, 1.1, 0.0], [2, 2, 1], [0, 0, 0])
    assert found.accuracy == 1
    assert found.threshold == pytest.approx(0.1)
    never = metrics.tie_calibrated_accuracy([3.0, 2.0, 1.0], [3, 2, 1], [0, 0, 0])
    assert (never.accuracy, never.threshold) == (1, 0)


def test_many_pairs_are_drawn():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300).astype(float)
    scores = truth + rng.normal(0, 0.6, 300)
    groups = np.zeros(300, dtype=int)
    full = metrics.tie_calibrated_accuracy(scores, truth, groups)
    assert metrics.tie_calibrated_accuracy(scores, truth, groups, limit=20_000).accuracy == pytest.approx(
        full.accuracy, abs=0.02
    )
