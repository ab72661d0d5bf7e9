"""Corrections on made-up rewards whose debt to length and format is known."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.evaluate.correction import fit_correction, length_slope, longer_picked


def planted(count: int = 400, length: float = 2.0, lists: float = 0.0, seed: int = 0):
    """Responses in pairs: a reward of quality + `length` * log length + `lists` * log list items."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 200, size=2 * count)
    items = rng.integers(0, 4, size=2 * count)
    responses = ["- x\n" * n + "w" * size for size, n in zip(sizes, items, strict=True)]
    lengths = np.log1p([len(text) for text in responses])
    quality = rng.normal(size=2 * count)
    rewards = quality + length * lengths + lists * np.log1p(items)
    first, second = np.arange(0, 2 * count, 2), np.arange(1, 2 * count, 2)
    wins = (
        quality[first] + 0.3 * lengths[first] > quality[second] + 0.3 * lengths[second]
    )  # people like length a little
    better, worse = np.where(wins, first, second), np.where(wins, second, first)
    return ["p"] * len(responses), responses, rewards, (better, worse), quality


def measured(correction, planted_set):
    prompts, responses, rewards, (better, worse), _ = planted_set
    lengths = np.log1p([len(text) for text in responses])
    longer = lengths[better] - lengths[worse]
    found = []
    for values in (rewards, rewards - correction(prompts, responses)):
        margins = values[better] - values[worse]
        found.append((float(longer_picked(margins, longer)), float(length_slope(margins, longer))))
    return found


def test_the_excess_and_the_slope_by_hand():
    margins, longer = np.array([1.0, -1.0, 0.0, 2.0]), np.array([2.0, 1.0, -1.0, 0.0])
    # It picks the longer in pairs 1 (yes), 2 (no), 3 (a tie, half); people in 1 and 2; pair 4 is of equal lengths.
    assert longer_picked(margins, longer) == pytest.approx(1.5 / 3 - 2 / 3)
    assert length_slope(margins, longer) == pytest.approx(np.polyfit(longer, margins, 1)[0])
    weights = np.array([[1.0, 1, 1, 1], [0, 2, 0, 1]])
    both = np.stack([margins, -margins])
    expected = [[-1 / 6, longer_picked(-margins, longer)], [-1.0, 0.0]]
    np.testing.assert_allclose(longer_picked(both, longer, weights), expected)
    slopes = [np.polyfit(longer, margins, 1, w=np.sqrt(drawn))[0] for drawn in weights]
    np.testing.assert_allclose(length_slope(both, longer, weights), [[slope, -slope] for slope in slopes], atol=1e-12)


@pytest.mark.parametrize("method", ["covariate", "local"])
def test_without_length_means_a_flat_reward(method):
    data = planted()
    fitted = fit_correction(*data[:4], mode="none", method=method)
    (_, before), (_, after) = measured(fitted, planted(seed=1))
    assert before > 1.7
    assert abs(after) < 0.1 * before if method == "covariate" else abs(after) < 0.25 * before


@pytest.mark.parametrize("method", ["covariate", "local"])
def test_like_people_means_no_more_of_the_longer_than_they_pick(method):
    fitted = fit_correction(*planted()[:4], mode="people", method=method)
    (before, _), (after, slope) = measured(fitted, planted(seed=1))
    assert before > 0.2
    assert abs(after) < 0.2 * before
    assert slope > 0.05  # people do like length a little


def test_a_reward_that_shuns_length_more_than_people_gets_some_back():
    fitted = fit_correction(*planted(length=-2.0)[:4], mode="people", method="covariate")
    (before, _), (after, _) = measured(fitted, planted(length=-2.0, seed=1))
    assert before < -0.2
    assert abs(after) < 0.2 * abs(before)


def test_lists_are_paid_no_longer():
    fitted = fit_correction(*planted(length=0.0, lists=3.0)[:4], mode="none", method="covariate", formats=True)
    long_list, no_list = "- x\n" * 3 + "w" * 88, "w" * 100
    taken = fitted(["p", "p"], [long_list, no_list])
    assert taken[0] - taken[1] == pytest.approx(3 * np.log1p(3), rel=0.25)


def test_texts_of_one_length_leave_the_reward_as_it_is():
    prompts, responses = ["p"] * 8, ["abcd", "abce", "abcf", "abcg"] * 2
    pairs = np.array([0, 2, 4, 6]), np.array([1, 3, 5, 7])
    rewards = np.arange(8.0)
    for method in ("covariate", "local"):
        fitted = fit_correction(prompts, responses, rewards, pairs, mode="none", method=method)
        np.testing.assert_allclose(np.diff(fitted(prompts, responses)), 0, atol=1e-9)
