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

    def begin(self, situation: Situation, objective: str) -> None:
        """A game begins."""
        self._piece = deque([situation], maxlen=self._length)
        self._objective = objective
        self.reward = self._height = self._score()

    def step(self, situation: Situation) -> float:
        """What the last command is paid."""
        self._piece.append(situation)
        self.reward = self._score()
        before, self._height = self._height, float(np.fmax(self._height, self.reward))
        return 0.0 if np.isnan(before) else (self._height - before) / self._scale

    def _score(self) -> float:
        return self._heard.reward(self._objective, piece_text(self._piece))
