"""What each sentence of a response adds to its reward: the sentence is left out, and the response scored again.

    effect_i = R(prompt, response) - R(prompt, response without sentence i)

This is leave-one-out erasure (Li, Monroe & Jurafsky 2016, arXiv:1612.08220) with sentences as the units. It needs
nothing of the reward but scores, so it works for every `Scorer`. Effects need not add up to the reward: two sentences
that say the same thing may each have none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from guerdon.explain.removal import Game
from guerdon.explain.target import Target
from guerdon.explain.units import Case, units_of
from guerdon.types import Prompt, Scorer


@dataclass(frozen=True, slots=True)
class Occlusion:
    """A response in segments, and what each adds to the reward."""

    segments: tuple[str, ...]
    """Joined, they are the response."""
    effects: np.ndarray
    """float32, shape (segments,), in the scorer's units; NaN where one of the two texts has no reward."""
    score: float
    """The reward of the whole response."""
    reasons: tuple[str, ...]
    """Why an effect is missing, for each segment; empty where there is one."""


def occlude(scorer: Scorer, prompt: Prompt, response: str, *, reference: str | None = None) -> Occlusion:
    """Measures what each sentence adds to the reward, with one reward more than there are sentences.

    Args:
        scorer: any reward.
        prompt: the prompt.
        response: the response; one of a single sentence is taken apart into clauses, and one of a single clause is
            left out as a whole, so that its effect is measured against the empty response.
        reference: for scorers that need one.

    Returns:
        Segments and effects; none for an empty response.

    Example:
        >>> occlude(load_scorer("longest"), "Hello?", "Hi. I am here.").effects
        array([ 4., 11.], dtype=float32)
    """
    case = Case(prompt, response, None, reference)
    units = units_of(case, ["response"], "segment")
    there = np.vstack([np.ones((1, len(units)), dtype=bool), ~np.eye(len(units), dtype=bool)])
    found = Game(Target(scorer), case, tuple(units)).answers(there)
    reasons = tuple(found.reasons[0] or reason for reason in found.reasons[1:])
    segments = tuple(response[unit.start : unit.stop] for unit in units)
    return Occlusion(segments, found.values[0] - found.values[1:], float(found.values[0]), reasons)
