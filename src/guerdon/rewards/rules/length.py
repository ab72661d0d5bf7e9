"""Rewards by rule: what a trained model must beat before anyone should believe it."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.rewards.rules.rule import Rule
from guerdon.types import Prompt


@dataclass(frozen=True, slots=True)
class LengthReward(Rule):
    """The number of characters of the response, times `sign`: +1 is "longest wins", -1 "shortest wins".

    People often prefer longer answers, so length alone is right far more often than guessing: on the 10,105 pairs
    of UKPConvArg1-Strict that Guerdon is measured on, in about 77% of them.

    Example:
        >>> LengthReward().score(["Hello?", "Hello?"], ["Hi.", "Hello!"])
        array([3., 6.], dtype=float32)
    """

    sign: int = 1
    """+1 or -1."""

    def __post_init__(self) -> None:
        """Refuses any other sign: a zero would make every pair a tie."""
        if self.sign not in (1, -1):
            raise ValueError(f"sign is +1 (longest wins) or -1 (shortest wins), got {self.sign!r}")

    def reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        """Characters (Unicode code points) of the response times `sign`; the prompt is not read."""
        return float(self.sign * len(response))
