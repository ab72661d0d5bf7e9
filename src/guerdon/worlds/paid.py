"""What an agent is paid at each step: the rise of the true score, or of the running maximum of a learned reward."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from guerdon.rewards.scoring import score_texts
from guerdon.types import Scorer
from guerdon.worlds.games import Situation
from guerdon.worlds.reading import piece_text

_MOST_KEPT = 200_000
"""Rewards of so many texts are kept: situations come back again and again."""


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
class LearnedPay:
    """Pays each new height of a learned reward, in units of `scale`; what falls and rises again is paid nothing.

        paid_t = max(0, r(x_t) - max_{s < t} r(x_s)) / scale

    x_t is the piece of the last `length` situations (`piece_text`). The sum over an episode is how far it ever got, so
    that nothing can be farmed by going there twice, as the plain difference can. A situation without a reward pays
    nothing, and is counted in `missing`.
    """

    scorer: Scorer
    length: int = 1
    scale: float = 1.0
    missing: int = 0
    scored: int = 0
    reward: float = float("nan")
    """Of the last piece."""
    _known: dict[tuple[str, str], float] = field(default_factory=dict)

    def begin(self, situation: Situation, objective: str) -> None:
        """A game begins."""
        self._piece = deque([situation], maxlen=self.length)
        self._objective = objective
        self.reward = self._height = self._score()

    def step(self, situation: Situation) -> float:
        """What the last command is paid."""
        self._piece.append(situation)
        self.reward = self._score()
        rise = self.reward - self._height
        if not rise > 0:  # NaN as well
            if self._height != self._height:
                self._height = self.reward
            return 0.0
        self._height = self.reward
        return rise / self.scale

    def _score(self) -> float:
        text = piece_text(self._piece)
        key = self._objective, text
        if key not in self._known:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[key] = float(score_texts(self.scorer, [self._objective], [text]).values[0])
        value = self._known[key]
        self.scored += 1
        self.missing += value != value
        return value
