"""Step scores: parity with scikit-learn, and ProcessBench's figures by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from guerdon import metrics

steps = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=5).map(np.array)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=2, max_size=30))
def test_the_auc_is_that_of_sklearn(data):
    scores, labels, weights = (np.array(column) for column in zip(*data, strict=True))
    if labels.all() or not labels.any():
        assert np.isnan(metrics.roc_auc(scores, labels))
        return
    assert metrics.roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    again = np.repeat(np.arange(len(scores)), weights)
    if len(set(labels[again].tolist())) == 2:
        several = metrics.roc_auc(scores, labels, np.stack([weights, weights]))
        assert several == pytest.approx([roc_auc_score(labels[again], scores[again])] * 2)


@given(st.lists(st.tuples(steps, st.integers(-1, 4)), min_size=1, max_size=12), st.integers(-4, 4))
def test_a_solution_is_right_for_the_thresholds_between_its_bounds(data, threshold):
    scores = [own for own, _ in data]
    errors = np.array([min(error, len(own) - 1) for own, error in data])
    bounds = metrics.right_thresholds(scores, errors)
    predicted = [metrics.first_below(own, threshold) for own in scores]
    inside = (bounds[:, 0] < threshold) & (threshold <= bounds[:, 1])
    assert inside.tolist() == [a == b for a, b in zip(predicted, errors, strict=True)]


@given(st.lists(st.tuples(steps, st.integers(-1, 4)), min_size=1, max_size=12))
def test_no_threshold_is_better_than_the_best(data):
    scores = [own for own, _ in data]
    errors = np.array([min(error, len(own) - 1) for own, error in data])
    bounds = metrics.right_thresholds(scores, errors)

    def f1(threshold: float) -> float:
        matched = [metrics.first_below(own, threshold) == error for own, error in zip(scores, errors, strict=True)]
        return np.nan_to_num(metrics.processbench_f1(matched, errors >= 0)[2])

    best = f1(metrics.best_threshold(bounds, errors >= 0))
    assert best >= max(f1(threshold) for threshold in np.arange(-4, 4.5, 0.5)) - 1e-12


def test_processbench_by_hand():
    """Of three solutions with an error two are found, of two right ones one: 2/3, 1/2, and their harmonic mean."""
    on_wrong, on_right, f1 = metrics.processbench_f1([1, 1, 0, 1, 0], [1, 1, 1, 0, 0])
    assert (on_wrong, on_right) == (pytest.approx(2 / 3), 0.5)
    assert f1 == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert metrics.processbench_f1([0, 0], [1, 0])[2] == 0
    assert np.isnan(metrics.processbench_f1([1], [1])[2])
