"""A blend gains by members that know different things, and never loses clearly against the one that knows it all."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.rewards.blend import Blend
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.cross_validation import BLEND, Member, build_blend, cross_validate, fit_blend, measure_unseen
from guerdon.types import Comparison, Prompt, References


class Given:
    """Rewards that are known by the response."""

    def __init__(self, name: str, values: dict[str, float]) -> None:
        self.name, self.values = name, values

    def score(self, prompts: list[Prompt], responses: list[str], *, references: References = None) -> np.ndarray:
        return np.array([self.values[text] for text in responses], dtype=np.float32)


def judged_by(quality: np.ndarray, seed: int = 0) -> JudgedResponses:
    """Pairs of responses named by their number; the one of higher quality was preferred."""
    order = np.random.default_rng(seed).permutation(len(quality)).reshape(-1, 2)
    rows = []
    for number, (a, b) in enumerate(order):
        better, worse = (a, b) if quality[a] > quality[b] else (b, a)
        rows.append(Comparison(prompt=f"p{number}", chosen=str(better), rejected=str(worse)))
    return JudgedResponses.of(rows)


def member(name: str, values: np.ndarray, judged: JudgedResponses) -> Member:
    return Member.fixed(name, Given(name, {str(i): float(value) for i, value in enumerate(values)}), judged)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_members_that_know_different_things_make_a_better_blend(rng: np.random.Generator) -> None:
    parts = rng.normal(size=(3, 800))
    judged = judged_by(parts[0] + parts[1])
    members = [member(name, values, judged) for name, values in zip("abn", parts, strict=True)]
    margins, fits = cross_validate(members, judged)
    found = {name: judged.agreement(values) for name, values in margins.items()}
    assert found["a"] < 0.85
    assert found["b"] < 0.85
    assert 0.4 < found["n"] < 0.6
    assert found[BLEND] > 0.95
    assert all(fit.best == BLEND for fit in fits)
    assert all(fit.weights[2] < 0.1 * fit.weights[0] for fit in fits)


@pytest.mark.parametrize("noise", [1, 6])
def test_a_member_that_knows_everything_is_not_lost(noise: int, rng: np.random.Generator) -> None:
    knows = rng.normal(size=200)
    judged = judged_by(knows)
    guesses = rng.normal(size=(noise, 200))
    members = [member("knows", knows, judged), *(member(f"n{i}", row, judged) for i, row in enumerate(guesses))]
    margins, _ = cross_validate(members, judged)
    assert judged.agreement(margins[BLEND]) == 1.0


def test_with_few_pairs_noise_costs_the_best_member_little() -> None:
    lost = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        quality = rng.normal(size=2400)
        seen, unseen = np.arange(120), np.arange(120, 1200)
        judged = judged_by(quality, seed)
        noisy = [quality + noise * rng.normal(size=len(quality)) for noise in (2, 3)]
        guesses = [*noisy, *rng.normal(size=(5, len(quality)))]
        members = [member(f"m{i}", values, judged) for i, values in enumerate(guesses)]
        _, margins = measure_unseen(members, judged, seen, unseen)
        found = {name: judged.agreement(values, unseen) for name, values in margins.items()}
        lost.append(found["m0"] - found[BLEND])
    assert np.mean(lost) < 0.01
    assert max(lost) < 0.05


def test_the_scale_of_a_blend_is_that_of_log_odds(rng: np.random.Generator) -> None:
    quality, noise = rng.normal(size=(2, 4000))
    judged = judged_by(quality + 0.5 * rng.logistic(size=4000))
    members = [member("knows", quality, judged), member("noise", noise, judged)]
    fit = fit_blend(members, judged, np.arange(300))
    probability = 1 / (1 + np.exp(-np.abs(fit.margins)))
    assert probability.mean() == pytest.approx(fit.agreement[BLEND], abs=0.05)


def test_a_member_that_is_wrong_has_no_weight(rng: np.random.Generator) -> None:
    knows = rng.normal(size=400)
    judged = judged_by(knows)
    members = [member("knows", knows, judged), member("wrong", -knows, judged)]
    fit = fit_blend(members, judged, np.arange(len(judged)))
    assert fit.weights[0] > 0
    assert fit.weights[1] == 0


def test_what_is_built_gives_the_rewards_of_its_members(rng: np.random.Generator) -> None:
    parts = rng.normal(size=(2, 400))
    judged = judged_by(parts.sum(axis=0))
    members = [member(name, values, judged) for name, values in zip("ab", parts, strict=True)]
    fit = fit_blend(members, judged, np.arange(len(judged)))
    blend = build_blend(members, judged, fit)
    rewards = blend.score(judged.prompts, judged.responses)
    assert judged.agreement(judged.margins(rewards.astype(np.float64))) > 0.95
    contributions = blend.contributions(judged.prompts[:5], judged.responses[:5])
    np.testing.assert_allclose(contributions.sum(axis=1) + blend.shift, rewards[:5], rtol=0, atol=1e-5)


def test_a_member_without_a_reward_says_nothing_there() -> None:
    reads = Given("reads", {"x": 1.0, "y": 3.0})
    blend = Blend(
        {"blind": Given("blind", {"x": np.nan, "y": np.nan}), "reads": reads},
        [1.0, 2.0], means=[0.0, 1.0], deviations=[1.0, 4.0],
    )  # fmt: skip
    assert blend.score(["p", "p"], ["x", "y"]).tolist() == [0.0, 1.0]
    only_blind = Blend({"blind": blend.members["blind"]}, [1.0], means=[0.0], deviations=[1.0])
    rewards = only_blind.score_with_reasons(["p"], ["x"])
    assert np.isnan(rewards.values).all()
    assert "nan" in rewards.reasons[0]
