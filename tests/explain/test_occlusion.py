from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.explain.occlusion import occlude
from guerdon.rewards.rules import LengthReward
from guerdon.text.sentences import split_segments, split_sentences
from guerdon.types import Prompt, References

TEXT = st.text(alphabet="ab A1.!?,;:，；。！？…\n \t\"'”）(3.Dr", max_size=60)


@given(TEXT)
def test_segments_joined_are_the_text(text: str) -> None:
    assert "".join(split_sentences(text)) == text
    assert "".join(split_segments(text)) == text


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ("It costs 3.50 today. Pay Dr. Smith.", ["It costs 3.50 today. ", "Pay Dr. Smith."]),
        ("Use e.g. Python. J. Doe says so.", ["Use e.g. Python. ", "J. Doe says so."]),
        ('He said "Stop." Then he left.', ['He said "Stop." ', "Then he left."]),
        ("先烧水。再放鸡蛋！煮几分钟？八分钟", ["先烧水。", "再放鸡蛋！", "煮几分钟？", "八分钟"]),
        ("他说：“好的。”然后走了。", ["他说：“好的。”", "然后走了。"]),
        ("def f(x):\n    return x.y\n\nprint(f(1))\n", ["def f(x):\n", "    return x.y\n\n", "print(f(1))\n"]),
        ("1. First step.\n2. Second step.", ["1. First step.\n", "2. Second step."]),
        ("", []),
        ("\n\n", ["\n\n"]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_one_sentence_is_taken_apart_into_clauses() -> None:
    assert split_segments("先烧水，再放鸡蛋，煮 1,000 秒") == ["先烧水，", "再放鸡蛋，", "煮 1,000 秒"]
    assert split_segments("Boil it, then cool it") == ["Boil it, ", "then cool it"]


def test_effects_are_what_each_sentence_adds() -> None:
    found = occlude(LengthReward(), "Hello?", "Hi. I am here.")
    assert found.score == 14
    assert found.segments == ("Hi. ", "I am here.")
    np.testing.assert_array_equal(found.effects, np.float32([4, 11]))
    assert found.effects.dtype == np.float32


def test_empty_response_has_no_segments() -> None:
    found = occlude(LengthReward(), "Hello?", "")
    assert found.segments == ()
    assert found.effects.shape == (0,)


class Picky:
    """Gives no reward to short texts, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        self.asked += list(references or [])
        return np.float32([len(text) if len(text) > 9 else np.nan for text in responses])


def test_no_reward_gives_no_effect() -> None:
    scorer = Picky()
    found = occlude(scorer, "?", "Short. Quite a bit longer.", reference="ref")
    assert found.effects[0] == 7
    assert np.isnan(occlude(scorer, "?", "Short. And this.").effects[1])
    assert scorer.asked == ["ref"] * 3


class Fails:
    """Has a reward for short texts only, and says why."""

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str], **_: object) -> np.ndarray:
        if any(response.startswith("Hi") for response in responses):
            raise RuntimeError("no greetings")
        return np.ones(len(responses), dtype=np.float32)


def test_a_missing_effect_has_its_reason() -> None:
    found = occlude(Fails(), "Hello?", "Hm. Hi. I am here.")
    assert np.isnan(found.effects).tolist() == [True, False, False]
    assert found.reasons == ("RuntimeError: no greetings", "", "")
    assert occlude(Fails(), "Hello?", "Hi. I am here.").reasons == ("RuntimeError: no greetings",) * 2
