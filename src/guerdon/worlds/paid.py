"""What an agent is paid at each step: the rise of the true score, or of the running maximum of a learned reward."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.scoring import score_texts
from guerdon.types import Scorer
from guerdon.worlds.games import Situation
from guerdon.worlds.perception import piece_text


class ScorePay:
    """Pays the rise of the true score, as a share of the highest."""

    def begin(self, situation: Situation, objective: str) -> None:
        """A game begins."""
        self._score = situation.score

    def step(self, situation: Situation) -> float:
        """What the last command is paid."""
        before, self._score = self._score, situation.score
        return situation.score - before


@dataclass
class Heard:
    """A reward, and what it said of each piece: the same situations come back again and again."""

    scorer: Scorer
    known: dict[tuple[str, str], float] = field(default_factory=dict)
    """Objective and text -> reward, NaN where there is none."""

    def reward(self, objective: str, text: str) -> float:
        """The reward of a piece."""
        key = objective, text
        if key not in self.known:
            self.known[key] = float(score_texts(self.scorer, [objective], [text]).values[0])
        return self.known[key]


@lru_cache(maxsize=8)
def heard(config: ScorerConfig) -> Heard:
    """The reward of this configuration, loaded once in a process and shared by all games that are played there."""
    return Heard(config.load())


class LearnedPay:
    """Pays each new height of a learned reward, in units of `scale`; what falls and rises again is paid nothing.

        paid_t = max(0, r(x_t) - max_{s < t} r(x_s)) / scale

    x_t is the piece of the last `length` situations (`piece_text`). The sum over an episode is how far it ever got, so
    that nothing can be farmed by going there twice, as the plain difference can. A piece without a reward is no height:
    the next that has one is compared with the height before.
    """

    def __init__(self, reward: Heard | ScorerConfig, *, length: int = 1, scale: float = 1.0) -> None:
        self._heard = heard(reward) if isinstance(reward, ScorerConfig) else reward
        self._length, self._scale = length, scale
        self.reward = float("nan")
        """Of the last piece."""
        self.without_reward = 0
        """Steps of the episode whose piece has none."""

    def begin(self, situation: Situation, objective: str) -> None:
        """A game begins."""
        self._piece = deque([situation], maxlen=self._length)
        self._objective, self.without_reward = objective, 0
        self.reward = self._height = self._start = self._hear()

    def step(self, situation: Situation) -> float:
        """What the last command is paid."""
        self._piece.append(situation)
        before, self.reward = self.reward, self._hear()
        self.without_reward += int(np.isnan(self.reward))
        return self._paid(before, situation) / self._scale

    def _paid(self, before: float, situation: Situation) -> float:
        lower, self._height = self._height, float(np.fmax(self._height, self.reward))
        return 0.0 if np.isnan(lower) else self._height - lower

    def _hear(self) -> float:
        return self._heard.reward(self._objective, piece_text(self._piece))


class PotentialPay(LearnedPay):
    """Pays potential-based shaping (Ng, Harada & Russell 1999), which changes no order of policies.

        paid_t = gamma Phi(x_t) - Phi(x_{t-1}),   Phi(x) = (r(x) - r(x_0)) / scale, 0 where a game is over

    A piece without a reward counts as one that is like the start.
    """

    def __init__(
        self, reward: Heard | ScorerConfig, *, length: int = 1, scale: float = 1.0, gamma: float = 1.0
    ) -> None:
        super().__init__(reward, length=length, scale=scale)
        self._gamma = gamma

    def _paid(self, before: float, situation: Situation) -> float:
        start = np.nan_to_num(self._start)
        now = 0.0 if situation.over else np.nan_to_num(self.reward - start)
        return float(self._gamma * now - np.nan_to_num(before - start))
