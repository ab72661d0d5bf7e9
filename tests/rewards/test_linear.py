"""Linear rewards find the optimum, take their scores apart, and come back from their folder as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge

from guerdon.errors import ContractError
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import LinearReward, fit_judged, fit_weights, prepared
from guerdon.rewards.load import load_scorer
from guerdon.rewards.surface import NAMES, SurfaceFeatures
from guerdon.types import Comparison, Rating


def pairs(count: int = 80, seed: int = 0) -> list[Comparison]:
    """Most often the response with more questions was preferred."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        many, few = ("Why? " * rng.integers(2, 5) + "So. " * rng.integers(0, 4)), "So. " * rng.integers(1, 6)
        better, worse = (few, many) if rng.random() < 0.2 else (many, few)
        rows.append(Comparison(prompt=f"p{i}", chosen=better, rejected=worse))
    return rows


def test_pairs_are_a_logistic_regression_on_differences() -> None:
    judged = JudgedResponses.of(pairs())
    ready = prepared(SurfaceFeatures(), judged)
    weights, intercept = fit_judged(ready.values, judged, 3.0)
    differences = judged.margins(ready.values)
    both = np.concatenate([differences, -differences])
    model = LogisticRegression(C=1 / 3, fit_intercept=False, tol=1e-10, max_iter=9999).fit(
        both, np.repeat([1, 0], len(judged)), sample_weight=np.full(2 * len(judged), 0.5)
    )
    np.testing.assert_allclose(weights, model.coef_[0], rtol=0, atol=2e-4)
    assert intercept == 0


def test_ratings_are_a_ridge_regression_in_their_own_units() -> None:
    rng = np.random.default_rng(0)
    rows = [
        Rating(prompt=f"p{i}", response="Why? " * int(count), scores={"score": 40 + 6 * count + rng.normal()})
        for i, count in enumerate(rng.integers(1, 9, size=60))
    ]
    judged = JudgedResponses.of(rows)
    assert judged.objective == "ratings"
    reward = LinearReward.fit(SurfaceFeatures(), judged, penalty=3.0)
    found = SurfaceFeatures().compute(judged.prompts, judged.responses).values
    deviation = found.std(axis=0)
    standard = (found - found.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0)
    expected = Ridge(alpha=3.0).fit(standard, judged.target).predict(standard)
    np.testing.assert_allclose(reward.score(judged.prompts, judged.responses), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
def test_more_features_than_rows_give_the_same_minimum(sparse: bool, intercept: bool) -> None:
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(40, 90)) * (rng.random(size=(40, 90)) < 0.3)
    target = torch.from_numpy(rng.normal(size=40))

    def loss(scores: torch.Tensor) -> torch.Tensor:
        return ((scores - target) ** 2).sum() / 2

    found, offset = fit_weights(csr_matrix(dense) if sparse else dense, loss, 2.0, intercept=intercept)
    expected = Ridge(alpha=2.0, fit_intercept=intercept).fit(dense, target.numpy())
    np.testing.assert_allclose(found, expected.coef_, rtol=0, atol=1e-4)
    assert offset == pytest.approx(expected.intercept_, abs=1e-4)


def test_no_weight_is_below_zero_where_none_may_be() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    target = torch.from_numpy(values @ np.array([2.0, -1.0, 0.0]))
    weights, _ = fit_weights(
        values, lambda scores: ((scores - target) ** 2).sum(), 1e-6, intercept=False, non_negative=True
    )
    assert weights[0] > 1.5
    assert (weights >= 0).all()
    assert weights[1] == 0


def test_contributions_sum_to_the_reward() -> None:
    judged = JudgedResponses.of(pairs())
    reward = LinearReward.fit(SurfaceFeatures(), judged, penalty=3.0)
    parts = reward.contributions(judged.prompts, judged.responses)
    assert parts.shape == (len(judged.responses), len(NAMES))
    scores = reward.score(judged.prompts, judged.responses)
    np.testing.assert_allclose(parts.sum(axis=1) + reward.shift, scores, rtol=0, atol=1e-5)


def test_the_top_features_say_what_a_reward_rests_on() -> None:
    rows = [
        Comparison(prompt=f"p{i}", chosen="so " * (1 + i % 5) + "why?", rejected="so " * (1 + i % 7) + "why.")
        for i in range(40)
    ]
    reward = LinearReward.fit(SurfaceFeatures(), JudgedResponses.of(rows), penalty=3.0)
    sizes = [abs(weight) for _, weight in reward.top_features(5)]
    assert sizes == sorted(sizes, reverse=True)
    ((name, weight),) = reward.top_features(1)
    assert name == "log question marks"
    assert weight > 0
    assert {name for name, _ in reward.top_features(999)} == set(NAMES)


def test_what_is_saved_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    judged = JudgedResponses.of(pairs())
    reward = LinearReward.fit(SurfaceFeatures(), judged, penalty=3.0)
    reward.save(tmp_path / "surface")
    loaded = load_scorer(tmp_path / "surface")
    fresh = ["", "A new one?\n- 1 + 1 = 2", "一个新的回答。"]
    np.testing.assert_array_equal(loaded.score(fresh, fresh), reward.score(fresh, fresh))
    assert isinstance(loaded, LinearReward)
    assert loaded.training_prompts == reward.training_prompts


@pytest.mark.parametrize("fault", ["no weights", "other features", "other measures", "no shift"])
def test_a_broken_folder_is_one_clear_error(fault: str, tmp_path: Path) -> None:
    LinearReward.fit(SurfaceFeatures(), JudgedResponses.of(pairs()), penalty=3.0).save(tmp_path)
    card = json.loads((tmp_path / "guerdon.json").read_text(encoding="utf-8"))
    if fault == "no weights":
        (tmp_path / "linear.safetensors").unlink()
    elif fault == "other features":
        card["features"]["kind"] = "taste"
    elif fault == "other measures":
        card["features"]["names"][0] = "length"
    else:
        card["shift"] = None
    (tmp_path / "guerdon.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ContractError, match="holds no readable linear reward"):
        load_scorer(tmp_path)
