from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from guerdon.evaluate.agreement import evaluate_reward
from guerdon.quickstart.evidence import (
    UNTRUSTWORTHY,
    contributions,
    distinct_responses,
    evaluate_by_language,
    gather_evidence,
    headline,
    length_correlation,
)
from guerdon.rewards.rules import LengthReward
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import FittedReward, fit_reward
from guerdon.types import Comparison

CHEAP = FitConfig(members=("longest", "shortest", "surface", "tfidf"))
BASELINES = {"shortest wins": LengthReward(-1)}


def by_length(count: int, seed: int) -> list[Comparison]:
    """The longer response wins in three of four pairs, and nothing else is to be learnt."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        texts = sorted((" ".join(rng.choices("abcdefgh", k=rng.randint(5, 40))) for _ in range(2)), key=len)
        worse, better = texts if rng.random() < 0.75 else texts[::-1]
        rows.append(Comparison(prompt=f"{seed} p{i}", chosen=better, rejected=worse))
    return rows


def by_word(count: int, seed: int) -> list[Comparison]:
    """One word decides, and length says nothing."""
    rng = random.Random(seed)
    texts = [" ".join(rng.choices("abcdefgh", k=rng.randint(8, 16))) for _ in range(2 * count)]
    return [
        Comparison(prompt=f"{seed} p{i}", chosen=f"{texts[2 * i]} please", rejected=f"{texts[2 * i + 1]} pronto")
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def polite_fit() -> FittedReward:
    return fit_reward(by_word(80, 0), config=CHEAP)


def test_where_only_length_wins_nothing_is_trusted() -> None:
    fitted, unseen = fit_reward(by_length(100, 0), config=CHEAP), by_length(40, 1)
    evidence = gather_evidence(fitted, fitted.reward, unseen, seed=0)
    assert not evidence.trusted
    assert evidence.candidates[0].accuracy.low > 0.5, "by length it is right"
    assert evidence.length_correlation > 0.8
    evaluation = evaluate_reward({"model": fitted.reward}, unseen, baselines=BASELINES)
    first, second = headline(evaluation, {}, evidence, unseen)
    assert first.startswith(UNTRUSTWORTHY)
    assert "On 40 unseen prompts, the reward beats the best baseline, shortest wins" in second


def test_what_is_level_with_a_rule_of_length_is_not_trusted() -> None:
    """Right in three of four pairs by other means than length: good, but the longer response is right as often."""
    fitted, unseen = fit_reward(by_length(400, 0), config=CHEAP), by_length(40, 1)
    lengths = np.array([len(text) for text in fitted.judged.responses], dtype=np.float64)
    longer = fitted.judged.margins(lengths)
    right = np.random.default_rng(0).permutation(longer > 0)
    level = replace(fitted, margins=fitted.margins | {"blend": np.where(right, 1.0, -1.0)})
    evidence = gather_evidence(level, fitted.reward, unseen, seed=0)
    assert evidence.rule == "longest"
    assert evidence.over_rule.point == pytest.approx(0.0, abs=0.02)
    assert evidence.over_rule.low < 0 < evidence.over_rule.high
    assert evidence.balanced.low > 0.5, "length-balanced it is better than guessing"
    assert not evidence.trusted
    evaluation = evaluate_reward({"model": fitted.reward}, unseen, baselines=BASELINES)
    first = headline(evaluation, {}, evidence, unseen)[0]
    assert first.startswith(UNTRUSTWORTHY)
    assert "not clearly more than the rule `longest` gets" in first
    assert "What to do:" in first

    better = replace(fitted, margins=fitted.margins | {"blend": np.where(right | (longer > 0), 1.0, -1.0)})
    evidence = gather_evidence(better, fitted.reward, unseen, seed=0)
    expected = np.mean(right | (longer > 0)) - np.mean(longer > 0) - np.mean(longer == 0) / 2
    assert evidence.over_rule.point == pytest.approx(expected)
    assert evidence.trusted


def test_what_decides_is_named(polite_fit: FittedReward) -> None:
    unseen = by_word(20, 1)
    evidence = gather_evidence(polite_fit, polite_fit.reward, unseen, seed=0)
    assert evidence.trusted
    assert evidence.candidates[0].name == "blend"
    accuracies = [one.accuracy.point for one in evidence.candidates[1:]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert sum(one.weight for one in evidence.candidates[1:]) == pytest.approx(1.0)
    assert evidence.pairs == 80
    raising = [one.name for one in evidence.features["tfidf"] if one.effect > 0]
    lowering = [one.name for one in evidence.features["tfidf"] if one.effect < 0]
    assert any("please" in name for name in raising)
    assert any("pronto" in name for name in lowering)
    (only,) = headline(evaluate_reward({"model": polite_fit.reward}, unseen, baselines=BASELINES), {}, evidence, unseen)
    assert only.startswith("On 20 unseen prompts, the reward beats")


def test_members_add_up_to_the_reward(polite_fit: FittedReward) -> None:
    responses = ["a b please", "a b pronto"]
    added = contributions(polite_fit.reward, "p", responses)
    total = np.sum(list(added.values()), axis=0) + polite_fit.reward.shift
    assert np.allclose(total, polite_fit.reward.score(["p"] * 2, responses), atol=1e-5)


def test_length_is_compared_within_a_prompt() -> None:
    texts = distinct_responses(by_length(10, 0))
    assert len(texts) == 20
    assert length_correlation(LengthReward(1), texts) == pytest.approx(1.0)
    assert length_correlation(LengthReward(-1), texts) == pytest.approx(-1.0)
    assert np.isnan(length_correlation(LengthReward(1), [("p", "only one")]))


def test_languages_are_measured_apart(lengths: list[Comparison], polite_fit: FittedReward) -> None:
    found = evaluate_by_language(LengthReward(1), lengths, BASELINES, seed=0)
    assert {name: one.sections[0].overall.rows for name, one in found.items()} == {"other languages": 20, "Chinese": 20}
    assert evaluate_by_language(LengthReward(1), lengths[::2], BASELINES, seed=0) == {}
    evidence = gather_evidence(polite_fit, polite_fit.reward, lengths, seed=0)
    (line,) = headline(
        evaluate_reward({"model": LengthReward(1)}, lengths, baselines=BASELINES), found, evidence, lengths
    )
    assert "Apart: in other languages +" in line
    assert ", in Chinese +" in line
    named = [replace(row, extra={"language": "en" if i < 30 else "fr"}) for i, row in enumerate(lengths * 2)]
    parts = evaluate_by_language(LengthReward(1), named, BASELINES, seed=0)
    assert {name: one.sections[0].overall.rows for name, one in parts.items()} == {"fr": 50, "English": 30}
