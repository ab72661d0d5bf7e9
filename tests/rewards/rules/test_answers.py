"""Right answers, and the form that was asked for."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from guerdon.rewards.rules import ExactAnswer, NumericAnswer
from guerdon.rewards.rules.answers import last_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 42.", 42), ("1,234,567 people", 1234567), ("-3.5 degrees", Fraction(-7, 2)), ("\u22122", -2),
        ("about 1e3", 1000), ("3/4 of it", Fraction(3, 4)), (".5", Fraction(1, 2)),
        ("\uff14\uff12", 42), ("none", None), ("1/0", None), ("from 3 to 5", 5), ("", None),
    ],
)  # fmt: skip
def test_the_last_number(text: str, number: Fraction | None) -> None:
    assert last_number(text) == number


def test_numbers_are_compared_exactly_or_within_a_tolerance() -> None:
    said = ["so 0.1 + 0.2 = 0.3", "#### 72 (not 5)\n", "\\boxed{1,000}", "I do not know", "101", "3"]
    right = ["0.3", "6 * 12 = 72\n#### 72", "1000.0", "4", "100", "no number"]
    found = NumericAnswer().score([""] * 6, said, references=right)
    assert found[:5].tolist() == [1, 0, 1, 0, 0], "behind #### the last number is 5"
    assert math.isnan(found[5])
    assert NumericAnswer(tolerance=0.01).score([""], ["101"], references=["100"]).tolist() == [1]


def test_exact_answers() -> None:
    said = ["Paris.", " the\n answer ", "I think so.\n#### B", "\\boxed{A} or \\boxed{C}", "london"]
    found = ExactAnswer().score([""] * 5, said, references=["paris", "The answer", "b", "C", "Paris"])
    assert found.tolist() == [1, 1, 1, 1, 0]
    assert np.isnan(ExactAnswer().score([""], ["x"])).all()
    for rule, reference, reason in (
        (ExactAnswer(), None, "the row has no reference answer"),
        (NumericAnswer(), " ", "the row has no reference answer"),
        (NumericAnswer(), "four", "the reference has no number: 'four'"),
    ):
        assert rule.score_with_reasons([""], ["4"], references=[reference]).reasons == (reason,)
