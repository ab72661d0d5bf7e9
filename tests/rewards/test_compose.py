"""Rewards made of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from guerdon.errors import TextError
from guerdon.rewards.compose import CachedScorer, CompositeScorer, Gate, Product, WeightedSum
from guerdon.rewards.rules import ExactAnswer, LengthReward, NumericAnswer
from guerdon.types import Prompt, ReasonedScorer, References, Scorer

NAN = float("nan")


class Says:
    """Gives what it was made with, and counts how often it is asked."""

    def __init__(self, *values: float) -> None:
        self.values, self.asked = values, 0

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        self.asked += 1
        assert references == ["r"] * len(responses)
        return np.array(self.values, dtype=np.float32)


def score(composed: Any, count: int) -> list[float]:
    found = composed.score(["p"] * count, ["x"] * count, references=["r"] * count)
    assert found.dtype == np.float32
    return [round(float(value), 5) for value in found]


def test_by_hand() -> None:
    one, two = Says(1, 2, NAN), Says(10, 0, 1)
    composed = WeightedSum({"one": one, "two": two}, {"one": 0.5, "two": 2.0})
    np.testing.assert_allclose(score(composed, 3), [20.5, 1.0, NAN])
    assert one.asked == two.asked == 1
    looked_at = WeightedSum({"one": one, "two": two}, {"one": 0.0, "two": 1.0})
    assert score(looked_at, 3) == [10, 0, 1], "what does not count cannot take the reward away"
    np.testing.assert_allclose(score(Product({"one": Says(0.5, NAN), "two": Says(0.5, 0)}), 2), [0.25, NAN])
    gated = Gate(Says(1, 0, NAN, 0.5), Says(3, 4, 5, NAN), otherwise=-1)
    np.testing.assert_allclose(score(gated, 4), [3, -1, NAN, NAN])
    assert score(Gate(Says(0), Says(NAN), otherwise=-1), 1) == [-1]


def test_parts_can_be_told_apart() -> None:
    composed = WeightedSum({"quality": Says(3), "form": Gate(Says(1), Says(2))}, {"quality": 1, "form": 1})
    assert isinstance(composed, CompositeScorer)
    assert isinstance(composed, Scorer)
    parts = composed.parts(["p"], ["x"], references=["r"])
    assert {name: part.values.tolist() for name, part in parts.items()} == {"quality": [3], "form": [2]}
    with pytest.raises(ValueError, match="a weight for each part"):
        WeightedSum({"one": Says(1)}, {"two": 1})
    with pytest.raises(ValueError, match="other than 0"):
        WeightedSum({"one": Says(1)}, {"one": 0})


def test_the_reason_names_the_parts_without_a_reward() -> None:
    class Raises:
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            if "bad" in responses:
                raise RuntimeError("service away")
            return np.ones(len(responses))

    inner = Gate(condition=NumericAnswer(), reward=Raises())
    composed = WeightedSum({"form": Raises(), "checked": inner}, {"form": 1.0, "checked": 1.0})
    found = composed.score_with_reasons(["p"] * 3, ["1", "bad", "1"], references=["1", "1", "one"])
    assert found.values.tolist()[0] == 2.0
    assert found.reasons == (
        "",
        "form: RuntimeError: service away",
        "checked: condition: the reference has no number: 'one'",
    )
    assert composed.parts(["p"], ["1"], references=["one"])["checked"].reasons == (
        "condition: the reference has no number: 'one'",
    )


class Counting:
    """The length, which "bad" does not have; counts what it is asked."""

    asked = 0

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        if "bad" in responses:
            raise TextError(list(responses).index("bad"), "it is bad")
        self.asked += len(responses)
        return LengthReward().score(prompts, responses)


def test_each_text_is_scored_once() -> None:
    inner = Counting()
    scorer = CachedScorer(inner)
    for _ in range(2):
        np.testing.assert_array_equal(scorer.score(["p", "p", "q"], ["a", "a", "bb"]), np.float32([1, 1, 2]))
    assert inner.asked == 2
    assert scorer.score([], []).shape == (0,)


def test_reasons_are_kept() -> None:
    scorer = CachedScorer(Counting())
    assert isinstance(scorer, ReasonedScorer)
    for _ in range(2):
        found = scorer.score_with_reasons(["p", "p"], ["bad", "good"])
        assert np.isnan(found.values[0])
        assert found.values[1] == 4
        assert (found.reasons[1], "it is bad" in found.reasons[0]) == ("", True)


def test_the_reference_is_part_of_the_question() -> None:
    scorer = CachedScorer(ExactAnswer())
    assert scorer.score(["p"], ["4"], references=["4"]).tolist() == [1.0]
    assert scorer.score(["p"], ["4"], references=["5"]).tolist() == [0.0]
