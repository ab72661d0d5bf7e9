"""Rules: right answers, the form that was asked for, lengths, overlap with a reference, and unit tests."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from guerdon.errors import ConfigError
from guerdon.rewards.rules import (
    ChrF,
    ExactAnswer,
    LengthReward,
    LengthWithin,
    Matches,
    NumericAnswer,
    UnitTests,
    chrf,
    code_of,
    last_number,
)
from guerdon.rewards.sandbox import Limits, sandbox_fault
from guerdon.types import Message, Scorer


def test_length_counts_characters_in_any_language() -> None:
    prompts = ["Hello?", (Message("user", "你好？"),), "Hello?"]
    rewards = LengthReward().score(prompts, ["Hi.", "你好！你好！", ""])
    assert rewards.tolist() == [3, 6, 0]
    assert rewards.dtype == np.float32
    assert LengthReward(-1).score(["?"] * 2, ["a", "bbb"]).tolist() == [-1, -3]
    with pytest.raises(ValueError, match=r"\+1 .* or -1"):
        LengthReward(0)
    logs = LengthReward(-1, log=True).score(["?"] * 2, ["", "你好"])
    np.testing.assert_allclose(logs, [0, -np.log(3)], rtol=1e-6)
    assert [LengthReward(sign, log).name for sign in (1, -1) for log in (False, True)] == [
        "longest", "log-longest", "shortest", "log-shortest",
    ]  # fmt: skip


def test_a_rule_is_a_scorer_that_takes_references() -> None:
    reward = LengthReward()
    assert isinstance(reward, Scorer)
    assert reward.score(["p"], ["r"], references=[None]).shape == (1,)
    assert reward.score([], []).shape == (0,)
    with pytest.raises(ValueError, match="1 prompts, 2 responses"):
        reward.score(["p"], ["a", "b"])


def test_a_pattern_or_a_length() -> None:
    texts = ["<think>a\nb</think> c", "c"]
    assert Matches("^<think>.*</think>").score(["", ""], texts).tolist() == [1, 0]
    with pytest.raises(ConfigError, match="not a regular expression"):
        Matches("(")
    lengths = LengthWithin(least=4, most=8).score([""] * 4, ["ab", "abcd", "abcdefgh", "x" * 16])
    assert lengths.tolist() == [0.5, 1, 1, 0.5]
    assert LengthWithin(least=2).score([""], ["x" * 99]).tolist() == [1]
    with pytest.raises(ConfigError, match="least <= most"):
        LengthWithin(least=5, most=2)


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


TEXTS = [
    "The cat sat on the mat.",
    "A cat sat on a mat",
    "木星是最大的行星。",
    "最大的行星是木星",
    "x",
    "",
    "the the the",
]


def test_chrf_is_sacrebleus() -> None:
    import sacrebleu

    for text in TEXTS:
        for reference in TEXTS[:-2]:
            expected = sacrebleu.sentence_chrf(text, [reference]).score / 100
            assert chrf(text, reference) == pytest.approx(expected), (text, reference)


def test_chrf_as_a_reward() -> None:
    found = ChrF().score(["?"] * 4, [TEXTS[0], TEXTS[1], "", "x"], references=[TEXTS[0], TEXTS[0], TEXTS[0], None])
    assert found[0] == pytest.approx(1)
    assert 0.4 < found[1] < 1
    assert found[2] == 0
    assert math.isnan(found[3])


inside = pytest.mark.skipif(bool(sandbox_fault()), reason=sandbox_fault() or "-")
TESTS = "assert double(2) == 4\nassert double([1]) == [1, 1]\nassert double('a') == 'aa'"
GOOD = "def double(x):\n    return x * 2"


@inside
def test_unit_tests_as_a_reward() -> None:
    fenced = f"Here it is:\n```python\n{GOOD}\n```\nDone."
    assert code_of(fenced).strip() == GOOD
    responses = [fenced, GOOD, "def double(x): return 4", "I do not know", GOOD]
    references = [TESTS, TESTS, TESTS, TESTS, None]
    found = UnitTests().score(["?"] * 5, responses, references=references)
    assert found[:4].tolist() == [1, 1, 0, 0]
    assert math.isnan(found[4])
    broken = UnitTests().score_with_reasons(["?"] * 2, [GOOD] * 2, references=[None, "assert double("])
    assert broken.reasons[0] == "the row has no unit tests (as its reference)"
    assert broken.reasons[1].startswith("the tests are not Python")
    assert UnitTests(partial=True).score(["?"], responses[2:3], references=[TESTS])[0] == pytest.approx(1 / 3)
    rest = UnitTests(complete_prompt=True).score(["def double(x):\n"], ["    return x * 2"], references=[TESTS])
    assert rest.tolist() == [1]


@inside
def test_eight_threads_get_what_one_gets() -> None:
    responses = [GOOD, "def double(x): return 4"] * 2
    reward = UnitTests(limits=Limits(seconds=60))  # sixteen at once, on a machine that is busy
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: reward.score(["?"] * 4, responses, references=[TESTS] * 4).tolist(), range(8)))
    assert found == [[1, 0, 1, 0]] * 8
