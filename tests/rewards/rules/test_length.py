from __future__ import annotations

import numpy as np
import pytest

from guerdon.rewards.rules import LengthReward
from guerdon.types import Message, Scorer


def test_counts_characters_in_any_language():
    prompts = ["Hello?", (Message("user", "你好？"),), "Hello?"]
    rewards = LengthReward().score(prompts, ["Hi.", "你好！你好！", ""])
    assert rewards.tolist() == [3, 6, 0]
    assert rewards.dtype == np.float32


def test_the_sign_turns_the_order():
    texts = ["a", "bbb", "cc"]
    np.testing.assert_array_equal(LengthReward(-1).score(texts, texts), -LengthReward(1).score(texts, texts))


def test_is_a_scorer_that_takes_references():
    reward = LengthReward()
    assert isinstance(reward, Scorer)
    assert reward.score(["p"], ["r"], references=[None]).shape == (1,)
    assert reward.score([], []).shape == (0,)


def test_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="1 prompts, 2 responses"):
        LengthReward().score(["p"], ["a", "b"])
    with pytest.raises(ValueError, match=r"\+1 .* or -1"):
        LengthReward(0)
