from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from guerdon.errors import TextError
from guerdon.rewards.cached import CachedScorer
from guerdon.rewards.rules import ExactAnswer, LengthReward
from guerdon.types import Prompt, ReasonedScorer


class Counting:
    """The length, which "bad" does not have; counts what it is asked."""

    asked = 0

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: Sequence[str | None] | None = None
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
