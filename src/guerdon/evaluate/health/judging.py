"""What only compares: asked about each text of the sample beside one and the same other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.evaluate.health.patient import CheckRow, Finding, ScorerPatient, compared
from guerdon.types import Comparer, Prompt, References


@dataclass(frozen=True)
class JudgedBeside:
    """A `Comparer` as a scorer: P(response preferred to another that is always the same)."""

    comparer: Comparer
    other: str
    second: bool = False
    """Whether the response takes the second place."""

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        """Probabilities, shape (n,)."""
        others = [self.other] * len(responses)
        places = (others, responses) if self.second else (responses, others)
        found = self.comparer.compare(prompts, *places, references=references)
        return 1 - found if self.second else found


def position(patient: ScorerPatient) -> Finding:
    """Whether it matters which response comes first."""
    judge: JudgedBeside = patient.scorer  # type: ignore[assignment]  # the row is asked about judges alone
    turned = ScorerPatient(JudgedBeside(judge.comparer, judge.other, second=True), patient.sample, patient.tolerance, 0)
    found = compared("In the first place and in the second", patient.first, turned.first, patient.tolerance)
    if found.verdict == "pass":
        return found
    changed = int(((patient.first > 0.5) & (turned.first < 0.5) | (patient.first < 0.5) & (turned.first > 0.5)).sum())
    said = f"{found.message} {changed} of {len(patient.first)} pairs change their winner with the order."
    return Finding("fail", said, found.difference)


JUDGE_ROWS = (
    CheckRow(
        "position",
        "P(preferred) of a response in the first place, and in the second",
        "Ask in both orders, and take the mean of P(a, b) and 1 - P(b, a)",
        position,
    ),
)
