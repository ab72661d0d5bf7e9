"""A comparer among candidates: win rates, logits, both orders, and pairs that fail alone."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from guerdon.errors import ModelError, TextError
from guerdon.rewards import scoring
from guerdon.rewards.blend import Blend
from guerdon.rewards.comparing import MOST_OPPONENTS, AmongCandidates, BothOrders, compare_pairs
from guerdon.rewards.compose import CachedScorer, WeightedSum
from guerdon.rewards.load import ScorerConfig, load_picker
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.scoring import score_texts
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import fit_reward
from guerdon.types import Comparison


class Judge:
    """P(a) = sigmoid of the difference in length, and something for the first place."""

    def __init__(self, first_place: float = 0.0) -> None:
        self.first_place, self.asked = first_place, 0

    def compare(self, prompts, a, b, *, references=None):
        self.asked += len(a)
        if any("bad" in text for text in (*a, *b)):
            raise TextError(0, "bad text")
        margins = np.array([len(x) - len(y) for x, y in zip(a, b, strict=True)]) / 10 + self.first_place
        return 1 / (1 + np.exp(-margins))


judge = Judge()


def rewards(scorer, responses, prompts=None):
    return score_texts(scorer, prompts or ["p"] * len(responses), responses)


def test_the_reward_is_the_mean_win_rate_against_the_others_in_both_orders():
    texts = ["x" * 10, "x" * 20, "x" * 30]
    asked = Judge(first_place=1.0)
    found = rewards(AmongCandidates(asked), texts)

    def p(i, j):  # P(i preferred), the mean of both orders
        return np.mean([1 / (1 + np.exp(-((i - j) + place))) for place in (1, -1)])

    expected = [(p(i, j) + p(i, k)) / 2 for i, j, k in ((1, 2, 3), (2, 1, 3), (3, 1, 2))]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    assert asked.asked == 6
    assert found.values.mean() == pytest.approx(0.5)


def test_logits_differ_by_the_logit_of_p_and_are_the_scores_behind_them():
    found = rewards(AmongCandidates(Judge(), logit=True), ["x" * 10, "x" * 15, "x" * 30]).values
    np.testing.assert_allclose(found - found[0], [0, 0.5, 2.0], atol=1e-5)
    pair = rewards(AmongCandidates(Judge(), logit=True), ["x" * 12, "x" * 5]).values
    assert pair[0] - pair[1] == pytest.approx(0.7, abs=1e-5)


def test_alone_or_where_the_judge_fails_there_is_no_reward_and_a_reason():
    found = rewards(AmongCandidates(Judge()), ["a", "bb", "alone", "bad", "c"], ["p", "p", "q", "r", "r"])
    assert np.isnan(found.values).tolist() == [False, False, True, True, True]
    assert "without another one to the same prompt" in found.reasons[2]
    assert "bad text" in found.reasons[3]
    equal = rewards(AmongCandidates(Judge()), ["same", "same"])
    assert equal.values.tolist() == [0.5, 0.5]


def test_candidates_of_a_prompt_are_asked_about_in_one_call_and_not_remembered_one_by_one(monkeypatch):
    monkeypatch.setattr(scoring, "TEXTS_PER_CALL", 4)
    prompts = [f"p{number % 3}" for number in range(15)]
    texts = ["x" * (number + 1) for number in range(15)]
    whole = AmongCandidates(Judge()).score(prompts, texts)
    parts: list[int] = []
    found = score_texts(AmongCandidates(Judge()), prompts, texts, on_progress=parts.append)
    np.testing.assert_array_equal(found.values, whole)
    assert parts == [5, 5, 5]
    summed = WeightedSum({"judge": AmongCandidates(Judge()), "length": LengthReward()}, {"judge": 1.0, "length": 0.0})
    np.testing.assert_array_equal(rewards(summed, texts, prompts).values, whole)
    cached = CachedScorer(AmongCandidates(Judge()))
    rewards(cached, ["a", "bb"])
    assert rewards(cached, ["a", "x" * 90]).values[0] < 0.01


def test_of_many_candidates_each_is_compared_with_some_others():
    asked = Judge()
    texts = ["x" * (number + 1) for number in range(40)]
    found = rewards(AmongCandidates(asked), texts).values
    assert asked.asked == 40 * MOST_OPPONENTS
    assert np.corrcoef(found, np.arange(40))[0, 1] > 0.9


def test_both_orders_say_what_the_place_does(caplog: pytest.LogCaptureFixture):
    both = BothOrders(Judge(first_place=1.0))
    both.compare(["p"] * 2, ["x" * 5, "x" * 30], ["x" * 4, "x"])
    assert (both.pairs, both.same, both.first) == (2, 1, 3)
    with caplog.at_level(logging.WARNING):
        both.report_totals()
    assert "of 2 pairs asked in both orders, 50.0% keep their winner; the first place wins 75.0%" in caplog.text


def test_a_pair_that_fails_fails_alone_and_a_wrong_shape_is_an_error():
    pairs = [(("p", text, None), ("p", "x", None)) for text in ("ab", "bad", "abc")]
    values, reasons = compare_pairs(Judge(), pairs)
    assert np.isnan(values).tolist() == [False, True, False]
    assert reasons[1].startswith("raised TextError")

    class Broken(Judge):
        def compare(self, prompts, a, b, *, references=None):
            return np.zeros(1)

    with pytest.raises(ModelError, match="one probability per pair"):
        compare_pairs(Broken(), pairs)


def test_what_only_compares_is_loaded_as_what_picks_and_is_a_member_of_a_blend(tmp_path: Path, monkeypatch):
    name = "test_comparing_judge:judge"
    (tmp_path / "test_comparing_judge.py").write_text(
        "import numpy as np\n"
        "class Judge:\n"
        "    def compare(self, prompts, a, b, *, references=None):\n"
        "        return 1 / (1 + np.exp(-np.array([x.count('!') - y.count('!') for x, y in zip(a, b)])))\n"
        "judge = Judge()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(load_picker(name), AmongCandidates)
    with pytest.raises(ModelError, match="it only compares"):
        ScorerConfig(name=name).load()
    rows = [
        Comparison(prompt=f"p{n}", chosen="text" + "!" * (n % 3 + 1), rejected="text" + "?" * (n % 5))
        for n in range(60)
    ]
    fitted = fit_reward(rows, tmp_path / "blend", FitConfig(members=(name, "longest")))
    assert fitted.measured()[0].agreement.point == 1.0
    again = Blend.load(tmp_path / "blend")
    values = rewards(again, ["text!!", "text??"]).values
    np.testing.assert_allclose(values, rewards(fitted.reward, ["text!!", "text??"]).values)
    assert values[0] > values[1]
