"""Text as an environment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from guerdon.errors import ConfigError
from guerdon.optimize.rl.env import TextEnv, TextSpace
from guerdon.rewards.compose import WeightedSum
from guerdon.rewards.rules import LengthReward
from guerdon.types import Candidates, Message

ASKED = [Candidates(prompt="boil an egg?"), Candidates(prompt=(Message("user", "行星?"),), reference="木星")]


class Watched:
    """Counts letters, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any]] = []

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        self.calls.append((prompts, responses, references))
        return np.array([float(len(text)) if text else math.inf for text in responses])


def test_one_step_is_one_call_of_the_scorer() -> None:
    scorer = Watched()
    env = TextEnv(ASKED, scorer)
    observed, _ = env.reset(options={"prompts": [1, 0, 1]})
    assert observed == [ASKED[1].prompt, ASKED[0].prompt, ASKED[1].prompt]
    replies, rewards, ended, cut, infos = env.step(["木", "water", ""])
    assert [replies, ended.tolist(), cut.tolist(), infos] == [
        [""] * 3,
        [True] * 3,
        [False] * 3,
        {"reasons": ["", "", "the scorer gave inf"], "parts": {}},
    ]
    np.testing.assert_array_equal(rewards, [1, 5, math.nan])  # what is not finite is no reward
    assert scorer.calls == [(observed, ["木", "water", ""], ["木星", None, "木星"])]


def test_a_scorer_that_fails_leaves_no_reward_and_says_why() -> None:
    class Broken:
        def score(self, *_: Any, **__: Any) -> np.ndarray:
            raise ValueError("no answer from the server")

    env = TextEnv(ASKED, Broken())
    env.reset()
    _, rewards, ended, _, infos = env.step(["a", "b"])
    assert np.isnan(rewards).all()
    assert ended.all()
    assert infos["reasons"] == ["Broken raises on every response: ValueError: no answer from the server"] * 2


def test_a_fault_of_the_set_up_is_not_a_missing_reward() -> None:
    class NoSandbox:
        def score(self, *_: Any, **__: Any) -> np.ndarray:
            raise ConfigError("there is no sandbox")

    env = TextEnv(ASKED, NoSandbox())
    env.reset()
    with pytest.raises(ConfigError, match="no sandbox"):
        env.step(["a", "b"])


def test_parts_of_a_composed_reward_are_told() -> None:
    env = TextEnv(
        ASKED, WeightedSum({"letters": Watched(), "shortest": LengthReward(-1)}, {"letters": 2, "shortest": 1})
    )
    env.reset()
    _, rewards, _, _, infos = env.step(["abc", "d"])
    assert rewards.tolist() == [3, 1]
    assert {name: values.tolist() for name, values in infos["parts"].items()} == {
        "letters": [3, 1],
        "shortest": [-3, -1],
    }


def test_a_conversation_goes_on_until_nothing_is_replied() -> None:
    def reply(talks: Sequence[Sequence[Message]]) -> list[str | None]:
        return ["and then?" if "first" in talk[-1].content else None for talk in talks]

    scorer = Watched()
    env = TextEnv(ASKED, scorer, reply=reply, turns=3)
    env.reset()
    replies, rewards, ended, _, _ = env.step(["first", "done"])
    assert (replies, rewards.tolist(), ended.tolist()) == (["and then?", ""], [0, 4], [False, True])
    replies, rewards, ended, _, _ = env.step(["eat"])
    assert (replies, rewards.tolist(), ended.tolist()) == ([""], [3], [True])
    prompts, said, _ = scorer.calls[1]
    assert said == ["eat"]
    assert [message.content for message in prompts[0]] == ["boil an egg?", "first", "and then?"]

    env.reset(options={"prompts": [0]})
    assert [env.step(["first"])[2].tolist() for _ in range(3)] == [[False], [False], [True]], "three turns at most"
    env.reset()
    env.step(["first", "first"])
    env.leave({0})
    assert env.step(["done"])[1].tolist() == [4]


def test_the_space_holds_any_text() -> None:
    space = TextSpace()
    assert all(text in space for text in ("", "行星", "x" * 100_000, space.sample()))
    assert 3 not in space
    assert space == TextSpace()
