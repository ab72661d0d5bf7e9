"""Tests of two systems against values worked out by hand or by scipy, and what they do on data where none is better."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from guerdon.metrics import (
    bradley_terry_strengths,
    format_p_value,
    holm,
    mcnemar_p_value,
    minimum_detectable_difference,
    permutation_p_value,
)


def test_a_few_clusters_are_exchanged_in_every_way():
    # Of the 8 ways to sign 3, 1 and 1 the sums +5 and -5 are as large as 5, and no others.
    assert permutation_p_value([3, 1, 1]) == 2 / 8
    assert permutation_p_value([0.0, 0.0]) == 1.0
    assert math.isnan(permutation_p_value([]))


def test_drawn_signs_come_near_to_scipys_permutation_test():
    values = np.random.default_rng(0).normal(0.35, 1, size=40)
    expected = stats.permutation_test(
        (values, np.zeros(40)), lambda a, b: (a - b).sum(), permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    assert permutation_p_value(values) == pytest.approx(expected, abs=0.01)


def test_alike_systems_are_told_apart_no_more_often_than_said():
    rng = np.random.default_rng(5)
    p_values = [permutation_p_value(rng.normal(size=10), seed=i) for i in range(400)]
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.08


def test_mcnemar_is_the_binomial_test_of_the_pairs_that_one_alone_has():
    # 2 * (1 + 10) / 2^10: ten pairs, one or none for b.
    assert mcnemar_p_value(9, 1) == pytest.approx(22 / 1024)
    assert mcnemar_p_value(0, 0) == 1.0


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.04: times 3, 2, 1; none may be below the one before it.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_detectable_difference_is_found_four_times_in_five():
    error = 0.1
    difference = minimum_detectable_difference(error)
    rng = np.random.default_rng(0)
    found = np.abs(rng.normal(difference, error, 20_000)) > 1.96 * error
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_strengths_of_two_systems_are_the_log_odds():
    strengths = bradley_terry_strengths([[0, 29.5], [9.5, 0]])
    assert strengths.sum() == pytest.approx(0)
    assert strengths[0] - strengths[1] == pytest.approx(math.log(30 / 10))


def test_strengths_explain_as_many_wins_as_were_counted():
    rng = np.random.default_rng(2)
    wins = rng.integers(0, 40, size=(5, 4, 4)) * (1 - np.eye(4))
    strengths = bradley_terry_strengths(wins)
    for counted, found in zip(wins + 0.5 * (1 - np.eye(4)), strengths, strict=True):
        chance = 1 / (1 + np.exp(found[None, :] - found[:, None]))
        np.testing.assert_allclose(((counted + counted.T) * chance).sum(1), counted.sum(1), rtol=1e-6)
    # One at a time is the same as all at once, and order is no matter.
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(bradley_terry_strengths(wins[3][order][:, order]), strengths[3][order], atol=1e-6)


def test_a_system_that_never_loses_has_a_finite_strength_and_a_lone_one_has_none():
    assert np.isfinite(bradley_terry_strengths([[0, 500], [0, 0]])).all()
    assert bradley_terry_strengths([[0]]).tolist() == [0]


def test_p_values_are_never_printed_as_nothing():
    assert [format_p_value(value) for value in (0.0004, 0.001, 0.25)] == ["p < 0.001", "p = 0.001", "p = 0.250"]


def test_signs_by_enumeration():
    values = [2.0, -1.0, 0.5, 4.0]
    sums = [sum(s * v for s, v in zip(signs, values, strict=True)) for signs in itertools.product((1, -1), repeat=4)]
    expected = sum(abs(total) >= 5.5 for total in sums) / 16
    assert permutation_p_value(values) == expected
