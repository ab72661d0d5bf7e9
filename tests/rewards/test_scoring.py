"""One way to ask any scorer: rewards, and a reason for every response without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from guerdon.errors import ConfigError, ModelError, TextError
from guerdon.rewards.scoring import no_reward_summary, score_texts
from guerdon.types import Rewards


class Scripted:
    """Scores by a function of the list of responses, and remembers what it was asked."""

    def __init__(self, function: Callable[[Sequence[str]], Any]) -> None:
        self.function = function
        self.asked: list[tuple[tuple[str, ...], Any]] = []

    def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: Any = None) -> Any:
        self.asked.append((tuple(responses), references))
        return self.function(responses)


def fails_on(*bad: str, error: Exception | None = None) -> Callable[[Sequence[str]], Any]:
    def score(responses: Sequence[str]) -> np.ndarray:
        if set(bad) & set(responses):
            raise error or RuntimeError("cannot read this")
        return np.array([len(text) for text in responses])

    return score


def test_one_text_that_fails_does_not_fail_its_batch() -> None:
    responses = ["a", "bb", "ccc", "dddd", "eeeee"]
    scorer = Scripted(fails_on("bb"))
    found = score_texts(scorer, ["p"] * 5, responses)
    np.testing.assert_array_equal(found.values, np.array([1, np.nan, 3, 4, 5], dtype=np.float32))
    assert found.values.dtype == np.float32
    assert found.reasons == ("", "RuntimeError: cannot read this", "", "", "")
    assert len(scorer.asked) <= 6, "a batch is halved around the text that fails, not asked one by one"


def test_a_text_error_is_the_reason_of_its_text() -> None:
    class TooLong(Scripted):
        def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: Any = None) -> Any:
            for index, text in enumerate(responses):
                if len(text) > 3:
                    raise TextError(index, "too long")
            return super().score(prompts, responses, references=references)

    found = score_texts(TooLong(lambda r: np.ones(len(r))), ["p"] * 4, ["a", "long", "b", "longer"])
    assert found.reasons == ("", "too long", "", "too long")
    np.testing.assert_array_equal(np.isnan(found.values), [False, True, False, True])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_reward(value: float) -> None:
    found = score_texts(Scripted(lambda r: np.array([1.0, value])), ["p", "p"], ["a", "b"])
    assert np.isnan(found.values[1])
    assert found.reasons == ("", f"the scorer gave {np.float32(value)}")


def test_a_scorer_that_knows_the_reason_gives_it() -> None:
    class Reasoned:
        def score(self, *_: Any, **__: Any) -> np.ndarray:
            raise AssertionError("the richer method is asked")

        def score_with_reasons(self, prompts: Sequence[Any], responses: Sequence[str], **_: Any) -> Rewards:
            return Rewards(np.array([np.nan, 2.0], dtype=np.float32), ("no unit tests", ""))

    found = score_texts(Reasoned(), ["p", "p"], ["a", "b"])
    assert found.reasons == ("no unit tests", "")
    assert no_reward_summary(found) == "1 of 2 responses have no reward; 1 of them: no unit tests"


def test_faults_of_the_set_up_are_raised() -> None:
    with pytest.raises(ConfigError, match="no sandbox"):
        score_texts(Scripted(fails_on("a", error=ConfigError("no sandbox"))), ["p", "p"], ["a", "b"])


@pytest.mark.parametrize("count", [2, 100])
def test_a_scorer_that_always_raises_is_named(count: int) -> None:
    scorer = Scripted(fails_on("a", error=KeyError("weights")))
    with pytest.raises(ModelError, match=r"Scripted raises on every response: KeyError: 'weights'"):
        score_texts(scorer, ["p"] * count, ["a"] * count)
    assert len(scorer.asked) < 30


@pytest.mark.parametrize("result", [np.ones(3), np.ones((2, 1)), 1.0, ["a", "b"], None])
def test_a_wrong_shape_or_type_names_the_scorer(result: Any) -> None:
    with pytest.raises(ModelError, match=r"Scripted\.score must give"):
        score_texts(Scripted(lambda _: result), ["p", "p"], ["a", "b"])


def test_a_service_that_goes_away_keeps_what_it_has_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guerdon.rewards.scoring._texts_per_call", lambda: 10)
    scorer = Scripted(fails_on(*(f"{i:02}" for i in range(10, 30))))
    found = score_texts(scorer, ["p"] * 30, [f"{i:02}" for i in range(30)])
    assert np.isfinite(found.values).sum() == 10
    assert set(found.reasons[10:]) == {"RuntimeError: cannot read this"}


def test_too_few_reasons_name_the_scorer() -> None:
    class Reasoned(Scripted):
        def score_with_reasons(self, prompts: Sequence[Any], responses: Sequence[str], **_: Any) -> Rewards:
            return Rewards(np.ones(2), ("",))

    with pytest.raises(ModelError, match=r"Reasoned\.score_with_reasons must give one reason"):
        score_texts(Reasoned(len), ["p", "p"], ["a", "b"])


def test_references_of_none_are_not_handed_on() -> None:
    scorer = Scripted(lambda r: np.ones(len(r)))
    score_texts(scorer, ["p", "p"], ["a", "b"], [None, None])
    score_texts(scorer, ["p", "p"], ["a", "b"], [None, "r"])
    assert [references for _, references in scorer.asked] == [None, [None, "r"]]


def test_lengths_must_agree_and_nothing_is_fine() -> None:
    scorer = Scripted(lambda r: np.ones(len(r)))
    with pytest.raises(ValueError, match="2 prompts, 1 responses"):
        score_texts(scorer, ["p", "p"], ["a"])
    assert len(score_texts(scorer, [], [])) == 0
    assert scorer.asked == []


def test_many_texts_are_asked_about_in_calls_that_keep_a_prompt_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guerdon.rewards.scoring._texts_per_call", lambda: 256)
    scorer = Scripted(fails_on("x" * 7, error=None))
    prompts = [f"prompt {i % 300}" for i in range(900)]
    responses = ["x" * (i % 11) for i in range(900)]
    done: list[int] = []
    found = score_texts(scorer, prompts, responses, on_progress=done.append)
    expected = np.array([np.nan if i % 11 == 7 else i % 11 for i in range(900)], dtype=np.float32)
    np.testing.assert_array_equal(found.values, expected)
    assert [bool(reason) for reason in found.reasons] == [i % 11 == 7 for i in range(900)]
    assert sum(done) == 900
    assert len(done) == 4

    seen: list[list[str]] = []

    class Prompts:
        def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: Any = None) -> np.ndarray:
            seen.append(list(prompts))
            return np.ones(len(responses))

    score_texts(Prompts(), prompts, responses)
    assert all(len(set(call)) <= -(-len(call) // 3) + 1 for call in seen)
