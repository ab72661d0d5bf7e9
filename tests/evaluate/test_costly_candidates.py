"""Candidates that take minutes learn from rows, and say how fast they are."""

from __future__ import annotations

import time

import numpy as np
import pytest

from guerdon.evaluate.advise_config import AdviseConfig
from guerdon.evaluate.costly_candidates import (
    CostlyCandidate,
    OutOfTimeError,
    costly_candidates,
    measure_cost,
    try_candidate,
)
from guerdon.rewards.judged import JudgedResponses
from guerdon.types import Comparison


@pytest.fixture
def candidates(tiny_bert: str, tiny_llama: str) -> dict[str, CostlyCandidate]:
    found = costly_candidates(AdviseConfig(encoder=tiny_bert, policy=tiny_llama))
    return {candidate.name: candidate for candidate in found}


@pytest.mark.parametrize("name", ["fine-tuned", "likelihood"])
def test_it_learns_and_scores_what_is_held_out(
    name: str, candidates: dict[str, CostlyCandidate], comparison_rows: list[Comparison]
) -> None:
    judged = JudgedResponses.of(comparison_rows)
    held = np.array([0, 2])
    rows = [row for row in comparison_rows if row.prompt not in {judged.prompts[i] for i in judged.better[held]}]
    cost = measure_cost(candidates[name], rows, judged.prompts[:3], judged.responses[:3])
    assert cost.per_row > 0
    assert cost.per_text > 0
    assert cost.seconds(20, 0) == pytest.approx(cost.fixed + 20 * cost.per_row)
    trial = try_candidate(candidates[name], rows, judged, held, time.monotonic() + 60)
    assert trial.margins.shape == (2,)
    assert trial.margins.any()
    assert trial.seconds < 60


def test_it_stops_at_the_deadline(candidates: dict[str, CostlyCandidate], comparison_rows: list[Comparison]) -> None:
    judged = JudgedResponses.of(comparison_rows)
    with pytest.raises(OutOfTimeError):
        try_candidate(candidates["fine-tuned"], comparison_rows, judged, np.array([0]), time.monotonic())


def test_commands_are_complete(candidates: dict[str, CostlyCandidate], tiny_llama: str) -> None:
    command = candidates["decoder"].command.format(data="mine.jsonl", out="my-reward")
    assert command == f"guerdon train mine.jsonl --backbone {tiny_llama} --lora-r 16 --batch-size 16 --out my-reward"
