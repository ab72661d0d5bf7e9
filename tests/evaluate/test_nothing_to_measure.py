"""Rows in which people saw no winner: what is said is the cause, and nothing else."""

from __future__ import annotations

from guerdon.evaluate.agreement import evaluate_reward
from guerdon.rewards.rules import LengthReward
from guerdon.types import Comparison


def test_ties_alone_are_called_that() -> None:
    rows = [Comparison(prompt=f"p{at}", chosen="a b", rejected="c", preference=0.5) for at in range(30)]
    notes = evaluate_reward({"longest": LengthReward()}, rows).sections[0].notes
    assert notes[0].startswith("There is nothing to measure: people saw no winner anywhere")
    assert not any("share one prompt" in note or "too narrow" in note for note in notes)
