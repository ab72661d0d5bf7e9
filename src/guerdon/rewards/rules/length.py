"""Rewards by rule: what a trained model must beat before anyone should believe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.types import Prompt


@dataclass(frozen=True, slots=True)
class LengthReward:
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

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`, in characters (Unicode code points); the prompt is not read."""
        if len(prompts) != len(responses):
            raise ValueError(f"one prompt per response: got {len(prompts)} prompts and {len(responses)} responses")
        return self.sign * np.fromiter((len(text) for text in responses), dtype=np.float32, count=len(responses))
