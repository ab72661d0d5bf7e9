"""Text environments: a prompt is observed, a response is the action, and a reward follows; in one turn or in many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from guerdon.rewards.compose import CompositeScorer
from guerdon.rewards.load import ScorerConfig, load_picker
from guerdon.rewards.scoring import ScorerFailedError, no_rewards, score_texts
from guerdon.rewards.transformer import ProcessReward
from guerdon.text.messages import prompt_turns
from guerdon.types import Candidates, Comparer, Message, Prompt, Prompts, Responses, Rewards, Scorer


@dataclass(frozen=True, slots=True, eq=False)
class TurnResult:
    """What follows the policy's turn in each of n conversations; entries of those that were over are not read.

    Example:
        >>> rewards = Rewards(np.array([1.0, -0.1], dtype=np.float32), ("", ""))
        >>> TurnResult([None, Message("user", "higher")], rewards, np.array([True, False])).terminated.tolist()
        [True, False]
    """

    observations: Sequence[Message | None]
    """The user's or tool's message that the policy answers next; read where the conversation goes on."""
    rewards: Rewards
    """The reward of this turn: 0 where the environment pays at another turn, NaN with its reason where there is none,
    which leaves the whole conversation without a reward."""
    terminated: np.ndarray
    """Whether the conversation is over, bool, shape (n,)."""
    info: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Further numbers by name, for the log, which gets their means as `reward/NAME`."""
    within: Mapping[int, Sequence[tuple[int, float]]] = field(default_factory=dict)
    """Conversation -> rewards at earlier places of this turn's response, each with the number of characters up to
    there; `rewards` has what is paid at the end of the turn."""


@runtime_checkable
class TextEnvironment(Protocol):
    """Conversations side by side, so that a step can ask a scorer, a sandbox or a game about all of them at once.

    It is pickled to every runner, and used by one of them at a time. An exception in `step` leaves the conversations of
    the batch without a reward, with the exception as the reason; a `GuerdonError`, and any exception in `reset`, stops
    the run.

    Example:
        >>> isinstance(PromptEnvironment(load_scorer("longest")), TextEnvironment)
        True
    """

    def reset(self, tasks: Sequence[Candidates], *, seed: int) -> Sequence[Prompt]:
        """Begins a conversation for each task.

        Args:
            tasks: n rows of the prompts that the run was given. Each stands there `num_generations` times in a row, and
                must begin with the same prompt each time.
            seed: seed of whatever the environment draws.

        Returns:
            n prompts.
        """
        ...

    def step(self, responses: Sequence[str | None]) -> TurnResult:
        """Takes a response in each of the n conversations, None in those that are over."""
        ...


Reply = Callable[[Sequence[Sequence[Message]]], Sequence[str | None]]
"""Conversations that end with the policy's response -> the user's next message in each; None ends the conversation."""


class PromptEnvironment:
    """Prompts whose responses a scorer rewards; with `reply`, conversations of several turns, rewarded at their end.

    A process reward pays at the end of every step by how much its score rises there, so that all steps together earn
    the reward of the whole.

    Example:
        >>> environment = PromptEnvironment(ScorerConfig(name="longest"))
        >>> environment.reset([Candidates(prompt="How long does an egg take?")], seed=0)
        ['How long does an egg take?']
        >>> environment.step(["Eight minutes."]).rewards.values.tolist()
        [14.0]
    """

    def __init__(
        self, scorer: Scorer | Comparer | ScorerConfig, *, reply: Reply | None = None, max_turns: int = 1
    ) -> None:
        """Makes the environment.

        Args:
            scorer: the reward of a conversation, R(everything before the last response, last response). A
                `ScorerConfig` is loaded once in each process, when it is first needed. A comparer rewards by its mean
                win rate among the responses to a prompt.
            reply: writes the user's turns; without one, every conversation has one response.
            max_turns: the most turns of the policy.
        """
        self._given = scorer if isinstance(scorer, ScorerConfig) else load_picker(scorer)
        self._loaded = None if isinstance(self._given, ScorerConfig) else self._given
        self.reply, self.max_turns = reply, max_turns
        self._tasks: Sequence[Candidates] = ()
        self._conversations: list[tuple[Message, ...]] = []
        self._turn = 0

    def __getstate__(self) -> dict[str, object]:
        """A copy in another process loads a scorer of its own."""
        return self.__dict__ | ({"_loaded": None} if isinstance(self._given, ScorerConfig) else {})

    @property
    def scorer(self) -> Scorer:
        """The scorer, loaded; raises what `ScorerConfig.load_picker` raises."""
        if self._loaded is None:
            assert isinstance(self._given, ScorerConfig)
            self._loaded = self._given.load_picker()
        return self._loaded

    def reset(self, tasks: Sequence[Candidates], *, seed: int) -> Sequence[Prompt]:
        """Begins a conversation with the prompt of each task; nothing is drawn."""
        self._tasks, self._turn = tasks, 0
        self._conversations = [prompt_turns(task.prompt) for task in tasks]
        return [task.prompt for task in tasks]

    def step(self, responses: Sequence[str | None]) -> TurnResult:
        """Lets the user reply, and scores the conversations that end."""
        self._turn += 1
        before = list(self._conversations)
        going = [row for row, response in enumerate(responses) if response is not None]
        for row in going:
            self._conversations[row] += (Message("assistant", responses[row] or ""),)
        replies: Sequence[str | None] = [None] * len(going)
        if self.reply is not None and self._turn < self.max_turns:
            replies = self.reply([self._conversations[row] for row in going])
        observations: list[Message | None] = [None] * len(responses)
        for row, text in zip(going, replies, strict=True):
            if text is not None:
                observations[row] = Message("user", text)
                self._conversations[row] += (Message("user", text),)
        terminated = np.array([observation is None for observation in observations])
        ended = [row for row in going if terminated[row]]
        values, reasons = np.zeros(len(responses), dtype=np.float32), [""] * len(responses)
        info: dict[str, Sequence[float]] = {}
        within: dict[int, Sequence[tuple[int, float]]] = {}
        if ended:
            prompts = [self._tasks[row].prompt if self._turn == 1 else before[row] for row in ended]
            found, info = self._score(prompts, [responses[row] or "" for row in ended], ended)
            values[ended] = found.values
            for row, reason in zip(ended, found.reasons, strict=True):
                reasons[row] = reason
            if isinstance(self.scorer, ProcessReward):
                read = [at for at, row in enumerate(ended) if np.isfinite(values[row])]
                paid = self.scorer.running_scores(
                    [prompts[at] for at in read], [responses[ended[at]] or "" for at in read]
                )
                for at, so_far in zip(read, paid, strict=True):
                    before_last = so_far[:-1]
                    rises = np.diff([0.0, *(value for _, value in before_last)]).tolist()
                    within[ended[at]] = [(stop, rise) for (stop, _), rise in zip(before_last, rises, strict=True)]
                    values[ended[at]] -= sum(rises)
        return TurnResult(observations, Rewards(values, tuple(reasons)), terminated, info, within)

    def _score(
        self, prompts: Prompts, responses: Responses, rows: Sequence[int]
    ) -> tuple[Rewards, dict[str, Sequence[float]]]:
        """Rewards, and for a composite scorer those of its parts."""
        scorer, references = self.scorer, [self._tasks[row].reference for row in rows]
        try:
            if not isinstance(scorer, CompositeScorer):
                return score_texts(scorer, prompts, responses, references), {}
            parts = scorer.parts(prompts, responses, references=references)
            return scorer.combine(parts), {name: part.values.tolist() for name, part in parts.items()}
        except ScorerFailedError as error:  # a service may be back at the next step
            return no_rewards(len(responses), str(error)), {}
