"""Trajectories: what the policy and its environment write in turns, as token ids with a reward for each turn."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from guerdon.errors import GuerdonError, ModelError
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.environment import TextEnvironment, TurnResult
from guerdon.policy.decode import Sample, Sampling
from guerdon.policy.model import Policy
from guerdon.rewards.scoring import no_rewards
from guerdon.text.messages import prompt_turns
from guerdon.types import Candidates, Message, Prompt


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One conversation behind its prompt."""

    response: Sample
    """The tokens of all turns; `environment_positions` are those that the policy did not write."""
    turn_ends: tuple[int, ...]
    """Position of the last token of each turn of the policy, and of other places within turns that were rewarded."""
    rewards: tuple[float, ...]
    """Reward at each of them; NaN where there is none."""
    reason: str = ""
    """Why a turn has no reward; empty where all have one."""
    conversation: tuple[Message, ...] = ()
    """The turns as texts, the prompt first."""
    prompt_messages: int = 0
    """How many turns of the conversation are the prompt."""

    @property
    def reward(self) -> float:
        """The sum over the turns; NaN where one has no reward."""
        return sum(self.rewards)

    @property
    def response_turns(self) -> tuple[int, ...]:
        """Which turns of the conversation the policy wrote."""
        turns = enumerate(self.conversation)
        return tuple(i for i, message in turns if i >= self.prompt_messages and message.role == "assistant")

    @property
    def num_tokens(self) -> int:
        """Tokens that the policy wrote."""
        return len(self.response.ids) - len(self.response.environment_positions)


@dataclass(frozen=True, slots=True)
class Group:
    """Trajectories that begin with the same prompt."""

    prompt: tuple[int, ...]
    trajectories: tuple[Trajectory, ...]


@dataclass(slots=True)
class Rollouts:
    """What was sampled at once."""

    groups: list[Group] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    """Sums: seconds_sampling, seconds_environment, sampled_tokens, environment_failures."""
    info: dict[str, list[float]] = field(default_factory=dict)
    """What the environment says beside rewards."""

    def add(self, other: Rollouts) -> None:
        """Adds what another runner sampled."""
        self.groups += other.groups
        for name, value in other.metrics.items():
            self.metrics[name] = self.metrics.get(name, 0.0) + value
        for name, values in other.info.items():
            self.info.setdefault(name, []).extend(values)


def sample_trajectories(
    policy: Policy,
    environment: TextEnvironment,
    tasks: Sequence[Candidates],
    *,
    num_generations: int,
    sampling: Sampling,
    max_turns: int = 1,
    seed: int = 0,
) -> Rollouts:
    """Lets the policy act in the environment, all conversations side by side.

    `max_new_tokens` is the limit of a turn; a conversation of more than `max_turns` is cut, with its rewards.

    Returns:
        A group of `num_generations` trajectories for each task, in order.

    Raises:
        TextError: a prompt is too long.
        ModelError: the environment breaks its protocol, or fails before the first turn.
        GuerdonError: the environment cannot be used as it is set up.
    """
    start = time.perf_counter()
    policy.model.eval()
    generator = torch.Generator().manual_seed(seed)
    env = _Stepper(environment)
    prompts = env.reset([task for task in tasks for _ in range(num_generations)], seed, num_generations)
    encoded = policy.encode_prompts(prompts[::num_generations], max_new_tokens=sampling.max_new_tokens)
    conversations = [
        _Conversation(policy, row, prompt, encoded[row // num_generations]) for row, prompt in enumerate(prompts)
    ]
    going = conversations
    for turn in range(1, max_turns + 1):
        contexts, each = (encoded, num_generations) if turn == 1 else ([one.token_ids for one in going], 1)
        samples = [one for own in policy.sample_tokens(contexts, each, sampling, generator) for one in own]
        responses: list[str | None] = [None] * len(conversations)
        for one, sample in zip(going, samples, strict=True):
            responses[one.row] = one.respond(sample)
        result = env.step(responses)
        for one in going:
            one.observe(result, last=turn == max_turns, max_new_tokens=sampling.max_new_tokens)
        going = [one for one in going if not one.over]
        if not going:
            break
    trajectories = [one.trajectory() for one in conversations]
    count = range(0, len(trajectories), num_generations)
    groups = [
        Group(tuple(ids), tuple(trajectories[first : first + num_generations]))
        for ids, first in zip(encoded, count, strict=True)
    ]
    metrics = {
        "seconds_sampling": time.perf_counter() - start - env.seconds,
        "seconds_environment": env.seconds,
        "sampled_tokens": float(sum(one.num_tokens for one in trajectories)),
        "environment_failures": float(env.failures),
    }
    return Rollouts(groups, metrics, env.info)


class _Stepper:
    """Steps an environment, watches the clock, and records what fails."""

    def __init__(self, environment: TextEnvironment) -> None:
        self.environment = environment
        self.seconds, self.failures = 0.0, 0
        self.info: dict[str, list[float]] = {}

    def reset(self, tasks: Sequence[Candidates], seed: int, num_generations: int) -> Sequence[Prompt]:
        start = time.perf_counter()
        try:
            prompts = self.environment.reset(tasks, seed=seed)
        except GuerdonError:
            raise
        except Exception as error:
            raise ModelError(f"the environment failed in reset: {type(error).__name__}: {error}") from error
        self.seconds += time.perf_counter() - start
        firsts = [prompts[row - row % num_generations] for row in range(len(prompts))]
        if len(prompts) != len(tasks) or list(prompts) != firsts:
            raise ModelError(
                f"the environment must begin each of {len(tasks)} tasks with a prompt, and equal tasks with equal ones"
            )
        return prompts

    def step(self, responses: Sequence[str | None]) -> TurnResult:
        start, count = time.perf_counter(), len(responses)
        try:
            result = self.environment.step(responses)
            lengths = {len(result.observations), len(result.rewards), len(result.terminated)}
            if lengths != {count}:
                raise ModelError(f"the environment must give one entry for each of {count} conversations")
        except GuerdonError:
            raise
        except Exception as error:
            self.failures += 1
            reason = f"the environment failed: {type(error).__name__}: {error}"
            result = TurnResult([None] * count, no_rewards(count, reason), np.ones(count, dtype=bool))
        self.seconds += time.perf_counter() - start
        for name, values in result.info.items():
            self.info.setdefault(name, []).extend(map(float, values))
        return result


class _Conversation:
    """One conversation, as messages for the environment and as tokens for the policy."""

    def __init__(self, policy: Policy, row: int, prompt: Prompt, prompt_ids: Sequence[int]) -> None:
        self.policy, self.row = policy, row
        self.messages = prompt_turns(prompt)
        self.token_ids = list(prompt_ids)
        self.over = False
        self._prompt_messages = len(self.messages)
        self._start = len(prompt_ids)
        self._logps: list[float] = []
        self._environment_positions: list[int] = []
        self._turn_ends: list[int] = []
        self._rewards: list[float] = []
        self._reason = ""
        self._finished = True

    def respond(self, sample: Sample) -> str:
        """Takes the policy's turn; returns its text."""
        text = self.policy.text(sample)
        self.messages += (Message("assistant", text),)
        self.token_ids += sample.ids
        self._logps += sample.logps
        self._turn = sample
        self._finished = sample.finished
        return text

    def observe(self, result: TurnResult, *, last: bool, max_new_tokens: int) -> None:
        """Takes the reward of the turn, and the message that follows it where the policy can answer."""
        for stop, reward in result.within.get(self.row, ()):
            self._pay(self._place(stop), reward)
        reward = float(result.rewards.values[self.row])
        self._pay(len(self._logps) - 1, reward if math.isfinite(reward) else math.nan)
        if math.isnan(self._rewards[-1]) and not self._reason:
            self._reason = result.rewards.reasons[self.row] or f"the environment gave {reward}"
        self.over = last or bool(result.terminated[self.row])
        if self.over:
            return
        message = result.observations[self.row]
        if message is None:
            raise ModelError("the environment must give a message where a conversation goes on")
        self.messages += (message,)
        ids = self.policy.encode_environment_turn(self.messages, finished=self._finished)
        if len(self.token_ids) + len(ids) + max_new_tokens > self.policy.context_length:
            self.over = True
            self._rewards[-1] = math.nan
            self._reason = f"the conversation outgrew the policy's context of {self.policy.context_length} tokens"
            return
        self._environment_positions += range(len(self._logps), len(self._logps) + len(ids))
        self._logps += [0.0] * len(ids)
        self.token_ids += ids

    def _pay(self, position: int, reward: float) -> None:
        if self._turn_ends[-1:] == [position]:
            self._rewards[-1] += reward
        else:
            self._turn_ends.append(position)
            self._rewards.append(reward)

    def _place(self, stop: int) -> int:
        """The position of the token that ends the first `stop` characters of the turn."""
        ids = self._turn.ids
        at = bisect_left(range(len(ids) - 1), stop, key=lambda n: len(self.policy.text_so_far(ids[: n + 1])))
        return len(self._logps) - len(ids) + at

    def trajectory(self) -> Trajectory:
        """The conversation as it ended."""
        ids = tuple(self.token_ids[self._start :])
        response = Sample(ids, tuple(self._logps), self._finished, tuple(self._environment_positions))
        return Trajectory(
            response, tuple(self._turn_ends), tuple(self._rewards), self._reason, self.messages, self._prompt_messages
        )


def shape_rewards(trajectories: Sequence[Trajectory], config: RLConfig) -> list[Trajectory]:
    """Shapes the rewards of one sampling step, in this order: penalties, masking, whitening, clipping.

    Each is a change of a trajectory's total reward, that is of the reward of its last turn; whitening divides the
    rewards of all turns. NaN stays NaN.
    """
    truncated = np.array([not one.response.finished for one in trajectories])
    totals = np.array([one.reward for one in trajectories], dtype=np.float64)
    totals = totals - config.token_penalty * np.array([one.num_tokens for one in trajectories])
    totals = totals - config.missing_eos_penalty * truncated
    if config.mask_truncated_completions:
        totals = np.where(truncated, np.nan, totals)
    scale = 1.0
    if config.whiten_rewards and np.isfinite(totals).any():
        scale = 1 / (float(np.nanstd(totals)) + 1e-8)
        totals = (totals - np.nanmean(totals)) * scale
    if config.reward_clip:
        totals = np.clip(totals, -config.reward_clip, config.reward_clip)
    shaped = []
    for one, total in zip(trajectories, totals.tolist(), strict=True):
        earlier = [reward * scale for reward in one.rewards[:-1]]
        shaped.append(replace(one, rewards=(*earlier, total - sum(earlier))))
    return shaped
