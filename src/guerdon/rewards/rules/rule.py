"""The base of the rules: a reward of one response at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import numpy as np

from guerdon.rewards.scoring import BaseScorer, check_lengths
from guerdon.types import Prompt, Rewards

Answered = tuple[Prompt, str, str | None]
"""Prompt, response, reference."""


class Rule(BaseScorer):
    """A reward that is computed for one response at a time, by a rule."""

    __slots__ = ()
    needs_reference: ClassVar[str] = ""
    """What a row must have as its reference ("reference answer"); empty where the rule needs none."""

    @abstractmethod
    def reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        """The reward of one response, or the reason why it has none; the reference is empty where none is needed."""

    def score_with_reasons(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> Rewards:
        """Scores n responses; those without a reference that the rule needs have no reward."""
        check_lengths(prompts, responses, references)
        given = [None] * len(responses) if references is None else references
        found = list(self._map(self._one, zip(prompts, responses, given, strict=True)))
        values = [np.nan if isinstance(one, str) else one for one in found]
        return Rewards(np.array(values, dtype=np.float32), tuple(one if isinstance(one, str) else "" for one in found))

    def _map(self, reward: Callable[[Answered], float | str], items: Iterable[Answered]) -> Iterable[float | str]:
        """Applies the rule to every response, in order."""
        return map(reward, items)

    def _one(self, item: Answered) -> float | str:
        prompt, response, reference = item
        if self.needs_reference and not (reference and reference.strip()):
            return f"the row has no {self.needs_reference}"
        return self.reward(prompt, response, reference or "")
