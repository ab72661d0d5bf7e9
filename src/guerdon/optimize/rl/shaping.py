"""From what a scorer says to what the policy is told: pure functions of the rewards of one sampling step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from guerdon.metrics import Floats


@dataclass(frozen=True, slots=True)
class Shaping:
    """What is done to the rewards of a step, in this order."""

    unfinished: Literal["score", "drop"] = "score"
    """Answers cut off at the longest length: scored as they are, or without a reward (DAPO's overlong filtering)."""
    missing_eos: float = 0.0
    """Taken from the reward of an answer that was cut off (TRL's `missing_eos_penalty`)."""
    per_token: float = 0.0
    """Taken from the reward for each token of the answer, against length for its own sake."""
    whiten: bool = False
    """(R - mean) / std over the step, before clipping."""
    clip: float = 0.0
    """Rewards end here on either side; 0 clips none."""


def shape(rewards: Floats, tokens: Floats, finished: Floats, shaping: Shaping) -> Floats:
    """The rewards that the policy is told.

    Args:
        rewards: shape (n,); NaN, which stays NaN, where there is none.
        tokens: length of each answer, shape (n,).
        finished: whether each ended by itself, shape (n,).
        shaping: what to do.

    Returns:
        Shape (n,), float64.
    """
    told = np.asarray(rewards, dtype=np.float64) - shaping.per_token * np.asarray(tokens)
    cut = ~np.asarray(finished, dtype=bool)
    told = told - shaping.missing_eos * cut
    if shaping.unfinished == "drop":
        told = np.where(cut, np.nan, told)
    if shaping.whiten and np.isfinite(told).any():
        told = (told - np.nanmean(told)) / (np.nanstd(told) + 1e-8)
    return np.clip(told, -shaping.clip, shaping.clip) if shaping.clip else told
