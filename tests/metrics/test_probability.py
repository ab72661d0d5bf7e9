"""Probabilities beside outcomes: parity with scikit-learn, and laws of the three fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from guerdon import metrics

METHODS = ("temperature", "platt", "isotonic")


def test_sigmoid_is_stable():
    np.testing.assert_allclose(metrics.sigmoid([-1e4, 0, np.log(3), 1e4]), [0, 0.5, 0.75, 1])


def test_calibration_error():
    assert metrics.expected_calibration_error([0.75] * 4, [1, 1, 1, 0]) == 0
    assert metrics.expected_calibration_error([1.0, 1.0, 0.0], [1, 0, 0]) == pytest.approx(1 / 3)
    rng = np.random.default_rng(0)
    p = rng.random(50_000)
    assert metrics.expected_calibration_error(p, rng.random(50_000) < p) < 0.01
    assert np.isnan(metrics.expected_calibration_error([], []))


def test_whole_weights_are_repetitions():
    rng = np.random.default_rng(0)
    p, y, weights = rng.random(40), rng.integers(0, 2, 40), rng.integers(0, 3, (5, 40))
    for metric in (metrics.expected_calibration_error, metrics.brier_score, metrics.log_loss):
        found = metric(p, y, weights=weights)
        assert found == pytest.approx([metric(np.repeat(p, w), np.repeat(y, w)) for w in weights])


def test_scores_are_those_of_sklearn():
    rng = np.random.default_rng(1)
    p = rng.random(200)
    y = (rng.random(200) < p).astype(int)
    assert metrics.brier_score(p, y) == pytest.approx(brier_score_loss(y, p))
    assert metrics.log_loss(p, y) == pytest.approx(log_loss(y, p))
    happened, said = calibration_curve(y, p, n_bins=10)
    bins = metrics.reliability_bins(p, y, 10)
    assert [one.said for one in bins] == pytest.approx(said)
    assert [one.happened for one in bins] == pytest.approx(happened)
    assert sum(one.pairs for one in bins) == 200


def test_what_is_always_one_half():
    assert metrics.brier_score([0.5] * 4, [1, 0, 1, 1]) == 0.25
    assert metrics.log_loss([0.5] * 4, [1, 0, 1, 1]) == pytest.approx(np.log(2))
    assert metrics.log_loss([0.0], [1]) == pytest.approx(7 * np.log(10))  # finite where the verdict was sure and wrong


def margins_of(truth: metrics.Calibration, n: int = 20_000) -> np.ndarray:
    """Margins of preferred responses: drawn on both sides, and turned so that the preferred one comes first."""
    rng = np.random.default_rng(2)
    drawn = rng.normal(0, 3, n)
    return np.where(rng.random(n) < truth(drawn), drawn, -drawn)


def test_the_temperature_is_found_and_is_that_of_logistic_regression():
    margins = margins_of(metrics.Calibration("temperature", scale=2.5))
    fit = metrics.fit_calibration("temperature", margins)
    assert fit.scale == pytest.approx(2.5, rel=0.05)
    both, won = np.concatenate([margins, -margins])[:, None], np.repeat([1, 0], len(margins))
    peer = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(both, won)
    assert 1 / fit.scale == pytest.approx(peer.coef_[0, 0], rel=1e-3)


def test_platt_finds_what_the_larger_reward_counts_by_itself():
    fit = metrics.fit_calibration("platt", margins_of(metrics.Calibration("platt", scale=4.0, intercept=0.5)))
    assert fit.scale == pytest.approx(4.0, rel=0.1)
    assert fit.intercept == pytest.approx(0.5, abs=0.1)


def test_isotonic_is_that_of_sklearn_on_both_orders():
    margins = margins_of(metrics.Calibration("temperature", scale=2.0), 300)
    fit = metrics.fit_calibration("isotonic", margins)
    low = 1 / 302
    won = np.concatenate([np.full(300, 1 - low), np.full(300, low)])
    peer = IsotonicRegression(y_min=low, y_max=1 - low).fit(np.concatenate([margins, -margins]), won)
    assert fit(margins) == pytest.approx(peer.predict(margins), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_fit_makes_probabilities_honest(method):
    truth = metrics.Calibration("temperature", scale=3.0)
    margins = margins_of(truth, 4000)
    fit, unseen = metrics.fit_calibration(method, margins[:2000]), margins[2000:]

    def error(p: np.ndarray) -> float:
        both = np.concatenate([p, 1 - p])
        return metrics.expected_calibration_error(both, np.repeat([1, 0], len(p)))

    assert error(metrics.sigmoid(unseen)) > 0.1
    assert error(fit(unseen)) < 0.03


@given(arrays(float, st.integers(1, 20), elements=st.integers(-3, 3).map(float)), st.sampled_from(METHODS))
def test_the_order_of_a_pair_does_not_matter(margins, method):
    fit = metrics.fit_calibration(method, margins)
    p = fit(margins)
    assert fit(-margins) == pytest.approx(1 - p, abs=1e-12)
    assert fit(0.0) == pytest.approx(0.5)
    assert ((p > 0) & (p < 1)).all()
    assert (np.diff(fit(np.linspace(-5, 5, 41))) >= -1e-12).all()
    assert metrics.Calibration.from_dict(fit.to_dict()) == fit
    assert np.isnan(fit(np.nan))


def test_vote_shares_draw_the_fit_nearer_to_one_half():
    margins = np.full(100, 2.0)
    sure = metrics.fit_calibration("temperature", margins)
    torn = metrics.fit_calibration("temperature", margins, np.full(100, 0.75))
    assert torn(2.0) == pytest.approx(0.75, abs=0.01)
    assert sure(2.0) > 0.95


def test_a_broken_calibration_is_told_with_every_fault():
    with pytest.raises(ValueError, match="method must be one of .* scale must be above 0"):
        metrics.Calibration.from_dict({"method": "magic", "scale": 0})
    with pytest.raises(ValueError, match="0 margins and 0 probabilities"):
        metrics.Calibration("isotonic")
    with pytest.raises(ValueError, match="must rise"):
        metrics.Calibration("isotonic", margins=(0.0, 1.0), probabilities=(0.6, 0.4))
    with pytest.raises(ValueError, match="calibration: .*unexpected"):
        metrics.Calibration.from_dict({"method": "platt", "slope": 1})
