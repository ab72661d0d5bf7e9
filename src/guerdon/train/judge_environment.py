"""Judging as an environment: read on, prefer a, or prefer b; an answer earns agreement, and reading costs."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from guerdon.metrics import Floats, Ints
from guerdon.train.judge_readings import Readings

READ_ON, PREFER_A, PREFER_B = range(3)
EXTRAS = 3
"""Numbers of an observation behind the features of a and b: chunks read, whether one has ended, whether both have."""


class JudgeEnvironment(VectorEnv):  # type: ignore[misc]
    """Comparisons side by side, each an episode of a judge that reads both responses chunk by chunk.

    An observation is what was read so far: features of a's beginning, of b's, and `EXTRAS`. `READ_ON` costs its share
    of the words of both and shows the next chunk; where both have ended it is no answer and earns nothing. An answer
    earns the share of people who gave it, and ends the episode. Which response is a is drawn for each episode. As
    RLlib wants it, the step behind an end begins the next episode (`AutoresetMode.NEXT_STEP`).

    Example:
        >>> environment = JudgeEnvironment(readings, num_envs=64, cost=0.05)
        >>> observations, _ = environment.reset(seed=0)
        >>> observations, rewards, ended, *_ = environment.step(np.full(64, PREFER_A))
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  # gymnasium reads a plain dict

    def __init__(self, readings: Readings, *, num_envs: int = 1, cost: float = 0.01, seed: int = 0) -> None:
        """Takes what can be read, how many pairs stand side by side, and what reading all of a pair costs."""
        self.readings, self.num_envs, self.cost = readings, num_envs, cost
        self._values = readings.values.astype(np.float32)
        width = 2 * self._values.shape[1] + EXTRAS
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.single_action_space = gym.spaces.Discrete(3)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self._random = np.random.default_rng(seed)
        self._pair, self._chunk = np.zeros((2, num_envs), dtype=np.int64)
        self._swapped, self._over = np.zeros((2, num_envs), dtype=bool)
        self._deal: Ints = np.zeros(0, dtype=np.int64)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Begins an episode everywhere; `seed` is one for all, or one for each, of which the first is taken."""
        if seed is not None:
            self._random = np.random.default_rng(seed if isinstance(seed, int) else seed[0])
        self._begin(np.ones(self.num_envs, dtype=bool))
        return self._observations(), {}

    def step(self, actions: Ints) -> tuple[Floats, Floats, np.ndarray, np.ndarray, dict[str, Any]]:
        """Takes an action everywhere; where an episode is over, the next one begins and the action is not read."""
        begins, readings = self._over.copy(), self.readings
        actions, pair, chunk = np.asarray(actions), self._pair, self._chunk
        more = chunk < readings.last[pair]
        reads = (actions == READ_ON) & more
        after = np.minimum(chunk + 1, readings.last[pair])
        share = readings.share[pair, after] - readings.share[pair, chunk]
        for_better = (actions == PREFER_A) ^ self._swapped
        earned = np.where(for_better, readings.target[pair], 1 - readings.target[pair])
        answers = actions != READ_ON
        rewards = np.where(reads, -self.cost * share, np.where(answers, earned, 0.0))
        self._chunk = np.where(reads, after, chunk)
        self._over = ~begins & ~reads
        rewards[begins] = 0.0
        over = self._over.copy()
        self._begin(begins)
        return self._observations(), rewards, over, np.zeros(self.num_envs, dtype=bool), {}

    def _begin(self, where: np.ndarray) -> None:
        """Deals pairs out, each once before any comes again, by their weight in how often."""
        count = int(where.sum())
        while len(self._deal) < count:
            odds = self.readings.weight / self.readings.weight.sum()
            even = bool(np.ptp(odds) == 0)
            drawn = self._random.choice(len(odds), len(odds), replace=not even, p=None if even else odds)
            self._deal = np.concatenate([self._deal, drawn])
        self._pair[where], self._deal = self._deal[:count], self._deal[count:]
        self._chunk[where] = 0
        self._swapped[where] = self._random.random(count) < 0.5
        self._over[where] = False

    def _observations(self) -> Floats:
        readings, pair, chunk = self.readings, self._pair, self._chunk
        first, second = readings.better[pair, chunk], readings.worse[pair, chunk]
        a, b = np.where(self._swapped, second, first), np.where(self._swapped, first, second)
        extras = np.stack([chunk + 1, readings.one_ended[pair, chunk], chunk == readings.last[pair]], axis=1)
        return np.concatenate([self._values[a], self._values[b], extras.astype(np.float32)], axis=1)
