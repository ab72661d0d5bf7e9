"""Prompts with a scorer as an environment."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.errors import ConfigError
from guerdon.optimize.rl.environment import PromptEnvironment, TextEnvironment
from guerdon.rewards.compose import WeightedSum
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.rules import LengthReward, UnitTests
from guerdon.types import Candidates, Message

TASKS = [Candidates(prompt="boil an egg?"), Candidates(prompt=(Message("user", "行星?"),), reference="木星")]


class Letters:
    """Counts letters, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any]] = []

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        self.calls.append((prompts, responses, references))
        return np.array([float(len(text)) if text else math.inf for text in responses])


def test_one_step_is_one_call_of_the_scorer() -> None:
    scorer = Letters()
    environment = PromptEnvironment(scorer)
    assert isinstance(environment, TextEnvironment)
    tasks = [TASKS[1], TASKS[0], TASKS[1]]
    prompts = environment.reset(tasks, seed=0)
    assert prompts == [task.prompt for task in tasks]
    result = environment.step(["木", "water", ""])
    assert result.terminated.all()
    assert result.observations == [None] * 3
    np.testing.assert_array_equal(result.rewards.values, [1, 5, math.nan])  # what is not finite is no reward
    assert result.rewards.reasons == ("", "", "the scorer gave inf")
    assert scorer.calls == [(prompts, ["木", "water", ""], ["木星", None, "木星"])]


def test_a_scorer_that_fails_on_every_response_is_recorded_and_one_that_cannot_be_set_up_raises() -> None:
    class Broken:
        def score(self, *_: Any, **__: Any) -> np.ndarray:
            raise ValueError("no answer from the server")

    environment = PromptEnvironment(Broken())
    environment.reset(TASKS, seed=0)
    rewards = environment.step(["a", "b"]).rewards
    assert np.isnan(rewards.values).all()
    assert all("no answer from the server" in reason for reason in rewards.reasons)

    class NoSandbox:
        def score(self, *_: Any, **__: Any) -> np.ndarray:
            raise ConfigError("there is no sandbox. Fix: apt-get install bubblewrap")

    environment = PromptEnvironment(NoSandbox())
    environment.reset(TASKS, seed=0)
    with pytest.raises(ConfigError, match="bubblewrap"):
        environment.step(["a", "b"])


def test_parts_of_a_composite_reward_are_told() -> None:
    scorers = {"letters": Letters(), "shortest": LengthReward(-1)}
    environment = PromptEnvironment(WeightedSum(scorers, {"letters": 2, "shortest": 1}))
    environment.reset(TASKS, seed=0)
    result = environment.step(["abc", "d"])
    assert result.rewards.values.tolist() == [3, 1]
    assert result.info == {"letters": [3, 1], "shortest": [-3, -1]}


def test_a_conversation_goes_on_until_nothing_is_replied() -> None:
    def reply(conversations: Sequence[Sequence[Message]]) -> list[str | None]:
        return ["and then?" if "first" in one[-1].content else None for one in conversations]

    scorer = Letters()
    environment = PromptEnvironment(scorer, reply=reply, max_turns=3)
    environment.reset(TASKS, seed=0)
    result = environment.step(["first", "done"])
    assert result.observations == [Message("user", "and then?"), None]
    assert (result.rewards.values.tolist(), result.terminated.tolist()) == ([0, 4], [False, True])
    result = environment.step(["eat", None])
    assert (result.rewards.values[0], result.terminated[0]) == (3, True)
    prompts, responses, _ = scorer.calls[1]
    assert responses == ["eat"]
    assert [message.content for message in prompts[0]] == ["boil an egg?", "first", "and then?"]

    environment.reset(TASKS[:1], seed=0)
    ends = [environment.step(["first"]).terminated.tolist() for _ in range(3)]
    assert ends == [[False], [False], [True]], "three turns at most"


def test_a_copy_in_another_process_loads_the_scorer_that_the_config_means(tmp_path: Path) -> None:
    config = ScorerConfig(name="unit-tests", unsafe_sandbox=True)
    environment = PromptEnvironment(config)
    scorer = environment.scorer
    assert scorer is environment.scorer, "it is loaded once"
    copy = pickle.loads(pickle.dumps(environment))
    assert copy.scorer is not scorer
    assert isinstance(copy.scorer, UnitTests)
    assert copy.scorer.unsafe


def test_a_comparer_rewards_by_its_win_rate_among_the_responses_to_a_prompt():
    class Longer:
        def compare(self, prompts, a, b, *, references=None):
            return np.array([float(len(x) > len(y)) for x, y in zip(a, b, strict=True)])

    environment = PromptEnvironment(Longer())
    environment.reset([Candidates(prompt=prompt) for prompt in "ppqq"], seed=0)
    assert environment.step(["a", "bb", "ccc", "c"]).rewards.values.tolist() == [0.0, 1.0, 1.0, 0.0]
