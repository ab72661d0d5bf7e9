"""Text as an environment: a prompt is observed, an answer is the action, and a reward follows; one turn or many.

A vector environment of Gymnasium with a space of its own (`gymnasium.spaces.Text` knows no Unicode without end, and no
empty text), so that one step of the environment is one call of the scorer, however many answers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from guerdon.optimize.rl.config import RLConfig
from guerdon.rewards.compose import CompositeScorer
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.scoring import ScorerFailedError, score_texts
from guerdon.types import Candidates, Message, Prompt, Rewards, Scorer

NAME = "guerdon-text"
"""What the environment is registered as."""

Reply = Callable[[Sequence[Sequence[Message]]], Sequence[str | None]]
"""Conversations that end with the policy's words -> what is said next in each; None ends it."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a run is made from, as it goes through RLlib's configuration, which is copied again and again: once."""

    settings: RLConfig
    requests: Sequence[Candidates]
    scorer: Scorer | ScorerConfig
    reply: Reply | None = None

    def __deepcopy__(self, _: Any) -> Given:
        return self


class TextSpace(gymnasium.Space[str]):  # type: ignore[misc]
    """Any text, of any length."""

    def __init__(self) -> None:
        super().__init__(shape=None, dtype=None)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A few letters; nothing in training draws from here."""
        return "".join(self.np_random.choice(list("abcdefgh "), size=8))

    def contains(self, x: Any) -> bool:
        """Whether `x` is a text."""
        return isinstance(x, str)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSpace)


class TextEnv(VectorEnv[Any, Any, Any]):  # type: ignore[misc]
    """Conversations side by side, whose last answer gets the reward of the whole.

    `reset` takes `options={"prompts": indices}`, which says what is asked; `step` takes the answers of the
    conversations that still go on. Rewards are NaN where the scorer gives none, or fails;
    faults of its set-up are raised.
    """

    def __init__(
        self,
        requests: Sequence[Candidates],
        scorer: Scorer | ScorerConfig,
        *,
        reply: Reply | None = None,
        turns: int = 1,
    ) -> None:
        """Makes the environment.

        Args:
            requests: what may be asked.
            scorer: what an ended conversation is worth: R(everything before the last answer, last answer). A
                `ScorerConfig` is loaded when the first conversation ends.
            reply: who speaks between the policy's turns; None ends every conversation with the first answer.
            turns: the most turns the policy has.
        """
        self.observation_space = self.single_observation_space = TextSpace()
        self.action_space = self.single_action_space = TextSpace()
        self.requests, self.scorer, self.reply, self.turns = requests, scorer, reply, turns
        self.num_envs = 0
        self.conversations: list[tuple[Message, ...]] = []
        self._asked: list[Candidates] = []
        self._live: list[int] = []
        self._turn = 0

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[list[Prompt], dict[str, Any]]:
        """Begins conversations.

        Returns:
            The prompts, and nothing.
        """
        indices = (options or {}).get("prompts", range(len(self.requests)))
        self._asked = [self.requests[index] for index in indices]
        self.num_envs = len(self._asked)
        self.conversations = [_messages(request.prompt) for request in self._asked]
        self._live = list(range(self.num_envs))
        self._turn = 0
        return [request.prompt for request in self._asked], {}

    def step(self, actions: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Takes an answer for each conversation that goes on, in order.

        Returns:
            What is said next in each of them (empty where it has ended), rewards, whether it has ended, whether it was
            cut off, and `infos`: `reasons`, a text for each response, empty unless it has ended without a reward; and
            `parts`, the rewards that the parts of a composite scorer give to those that ended.
        """
        self._turn += 1
        live = self._live
        before = [self.conversations[row] for row in live]
        for row, said in zip(live, actions, strict=True):
            self.conversations[row] += (Message("assistant", said),)
        replies: Sequence[str | None] = [None] * len(live)
        if self.reply is not None and self._turn < self.turns:
            replies = self.reply([self.conversations[row] for row in live])
        ended = np.array([said is None for said in replies])
        for row, reply in zip(live, replies, strict=True):
            if reply is not None:
                self.conversations[row] += (Message("user", reply),)
        rewards = np.zeros(len(live), dtype=np.float32)
        over = [i for i, last in enumerate(ended) if last]
        reasons = [""] * len(live)
        parts: dict[str, np.ndarray] = {}
        if over:
            given, parts = self._score([before[i] for i in over], [actions[i] for i in over], live, over)
            rewards[over] = given.values
            for i, reason in zip(over, given.reasons, strict=True):
                reasons[i] = reason
        infos = {"reasons": reasons, "parts": parts}
        self._live = [row for row, last in zip(live, ended, strict=True) if not last]
        return [said or "" for said in replies], rewards, ended, np.zeros(len(live), dtype=bool), infos

    def leave(self, rows: Collection[int]) -> None:
        """Ends conversations that the policy cannot go on with; they get no reward."""
        self._live = [row for row in self._live if row not in rows]

    def _score(
        self, before: Sequence[tuple[Message, ...]], said: Sequence[str], live: Sequence[int], over: Sequence[int]
    ) -> tuple[Rewards, dict[str, np.ndarray]]:
        asked = [self._asked[live[i]] for i in over]
        prompts = [
            request.prompt if self._turn == 1 else messages for request, messages in zip(asked, before, strict=True)
        ]
        references = [request.reference for request in asked]
        if isinstance(self.scorer, ScorerConfig):
            self.scorer = self.scorer.load()
        parts: dict[str, Rewards] = {}
        try:
            if isinstance(self.scorer, CompositeScorer):
                parts = self.scorer.parts(prompts, said, references=references)
                rewards = self.scorer.combine(parts)
            else:
                rewards = score_texts(self.scorer, prompts, said, references)
        except ScorerFailedError as error:  # a service may be back at the next step
            rewards = Rewards(np.full(len(said), np.nan, dtype=np.float32), (str(error),) * len(said))
        return rewards, {name: part.values for name, part in parts.items()}


def text_env(config: Mapping[str, Any]) -> TextEnv:
    """The environment of a run, as RLlib asks for it by name."""
    given: Given = config["given"]
    return TextEnv(given.requests, given.scorer, reply=given.reply, turns=given.settings.max_turns)


def _messages(prompt: Prompt) -> tuple[Message, ...]:
    return (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
