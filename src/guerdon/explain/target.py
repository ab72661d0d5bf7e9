"""The number that is explained: a score, the difference of two, or the logit of a judge's probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from guerdon.errors import ConfigError
from guerdon.explain.units import Case
from guerdon.metrics import Floats
from guerdon.rewards.compose import CachedScorer
from guerdon.rewards.scoring import score_texts
from guerdon.types import Comparer, Prompt, References, Rewards, Scorer

System: TypeAlias = Scorer | Comparer
"""What is explained. What can do both is explained by its scores."""

_SURE = 1e-6
"""A judge's probability is taken to lie at least so far from 0 and from 1, so that its logit is finite."""


class Target:
    """Answers cases with the number that is explained, and asks about each text once.

    Of a `Scorer` it is R(response), or R(response) - R(other). Of a `Comparer` it is the logit of P(response preferred
    to other), half the difference of what it says in the two orders: a liking for the first place cancels, and the
    number changes its sign when the responses change places.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.scorer = CachedScorer(system) if isinstance(system, Scorer) else None
        self._against: dict[str, CachedScorer] = {}

    @property
    def passes(self) -> int:
        """How many texts were scored so far, or how many pairs were judged."""
        return self.scorer.asked if self.scorer else 2 * sum(one.asked for one in self._against.values())

    def ask(self, cases: Sequence[Case]) -> Rewards:
        """What is explained, for n cases; with reasons where there is nothing."""
        if self.scorer is not None:
            return self._margins(self.scorer, cases)
        values, reasons = np.full(len(cases), np.nan, dtype=np.float32), [""] * len(cases)
        places: dict[str, list[int]] = {}
        for place, case in enumerate(cases):
            if case.other is None:
                raise ConfigError("a Comparer gives no scores: it can only be explained with --versus, beside another")
            places.setdefault(case.other, []).append(place)
        for other, where in places.items():
            judge = self._against.setdefault(other, CachedScorer(_Against(self.system, other)))  # type: ignore[arg-type]
            found = _asked(judge, [cases[place] for place in where])
            values[where] = found.values
            for place, reason in zip(where, found.reasons, strict=True):
                reasons[place] = reason
        return Rewards(values, tuple(reasons))

    def _margins(self, scorer: CachedScorer, cases: Sequence[Case]) -> Rewards:
        others = [case.swapped() for case in cases if case.other is not None]
        found = _asked(scorer, [*cases, *others])
        values, reasons = found.values[: len(cases)].copy(), list(found.reasons[: len(cases)])
        second = iter(zip(found.values[len(cases) :], found.reasons[len(cases) :], strict=True))
        for place, case in enumerate(cases):
            if case.other is not None:
                value, reason = next(second)
                values[place] -= value
                reasons[place] = reasons[place] or reason
        return Rewards(values, tuple(reasons))


@dataclass(frozen=True)
class _Against:
    """A `Comparer` as a scorer of responses beside one other response: the logit of its P, over both orders."""

    comparer: Comparer
    other: str

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        """Logits, float32, shape (n,)."""
        others = [self.other] * len(responses)
        first = self.comparer.compare(prompts, responses, others, references=references)
        second = self.comparer.compare(prompts, others, responses, references=references)
        return np.asarray((_logit(first) - _logit(second)) / 2, dtype=np.float32)


def _logit(probabilities: np.ndarray) -> Floats:
    p = np.clip(np.asarray(probabilities, dtype=np.float64), _SURE, 1 - _SURE)
    return np.asarray(np.log(p) - np.log1p(-p))


def _asked(scorer: Scorer, cases: Sequence[Case]) -> Rewards:
    return score_texts(
        scorer,
        [case.prompt for case in cases],
        [case.response for case in cases],
        [case.reference for case in cases],
    )
