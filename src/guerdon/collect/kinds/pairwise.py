"""Which of two responses is better, and by how much; a tie, or both bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Literal

from guerdon.collect.kinds.asking import Answer, AnswerError, Question, Task, whole_number, with_extra
from guerdon.types import AnyRow, Comparison

NEITHER = ("tie", "bad")
"""Choices that prefer no response."""


@dataclass(frozen=True, kw_only=True)
class PairwiseQuestion(Question):
    """Compares two responses.

    An answer is {choice: 0, 1, "tie" or "bad", strength}: 0 and 1 are responses, strength counts from 1; what models
    say, and gold answers, have none.
    """

    kind: ClassVar[str] = "pairwise"
    takes: ClassVar[Literal["pair"]] = "pair"
    prefers: ClassVar[bool] = True

    strengths: int = 3
    """Degrees of preference: 1 asks only which is better."""
    ties: bool = True
    """Whether neither may be better: a tie, or both bad."""

    def __post_init__(self) -> None:
        whole_number(self.strengths, f"question {self.name}: strengths", 1, 3)

    def answer(self, form: Mapping[str, str], task: Task) -> Answer:
        """Reads `choice`: `tie`, `bad`, or place and strength as in `1-2`."""
        choice = self.field(form, "choice")
        if self.ties and choice in NEITHER:
            return {"choice": choice}
        place, _, strength = choice.partition("-")
        if place in ("0", "1") and strength.isascii() and strength.isdigit() and 1 <= int(strength) <= self.strengths:
            return {"choice": int(place), "strength": int(strength)}
        raise AnswerError(f"{self.name}: no response is chosen")

    def rows(self, task: Task, answers: Sequence[Answer], about: Mapping[str, Any]) -> list[AnyRow]:
        """A comparison: the share of those who prefer `chosen`, ties counted half; the margin is the mean strength."""
        signed = [_signed(answer) for answer in answers]
        share = fmean(0.5 + (value > 0) / 2 - (value < 0) / 2 for value in signed)
        first = 0 if share >= 0.5 else 1
        tie = share == 0.5
        extra: dict[str, Any] = {}
        if len(answers) > 1:
            toward = [value if first == 0 else -value for value in signed]
            counts = [sum(value > 0 for value in toward), sum(value < 0 for value in toward), signed.count(0)]
            extra["votes"] = counts
        if all(answer["choice"] == "bad" for answer in answers):
            extra["both_bad"] = True
        strength = abs(fmean(signed))
        felt = self.strengths > 1 and all("strength" in answer or answer["choice"] in NEITHER for answer in answers)
        return [
            Comparison(
                prompt=task.prompt,
                chosen=task.responses[first],
                rejected=task.responses[1 - first],
                preference=max(share, 1 - share),
                margin=strength if felt and not tie else None,
                **with_extra(about, **extra),
            )
        ]

    def scored(self, scores: Sequence[float]) -> Answer:
        """The response with the higher number; equal ones are a tie. How strongly, a number does not say."""
        first, second = scores
        return {"choice": "tie"} if first == second else {"choice": int(second > first)}

    def known(self, row: AnyRow) -> tuple[tuple[str, ...], Answer] | None:
        """What a comparison prefers."""
        if not isinstance(row, Comparison):
            return None
        return (row.chosen, row.rejected), {"choice": "tie" if row.preference == 0.5 else 0}

    def moved(self, answer: Answer, places: Sequence[int]) -> Answer:
        """Names the chosen response by its new place."""
        choice = answer["choice"]
        return answer if choice in NEITHER else answer | {"choice": places[choice]}

    def equal(self, answer: Answer, other: Answer) -> bool:
        """Whether both choose the same; how strongly does not matter, and a tie is a tie."""
        return bool(_side(answer) == _side(other))

    def apart(self, answer: Answer, other: Answer) -> float:
        """1 for opposite choices, 0.5 where one of the two chose none; how strongly does not matter."""
        sides = {_side(answer), _side(other)}
        return 0.0 if len(sides) == 1 else 0.5 if "tie" in sides else 1.0


def _signed(answer: Answer) -> float:
    """Strength of the preference for the first response, negative for the second, 0 for neither."""
    choice = answer["choice"]
    return 0.0 if choice in NEITHER else float(answer.get("strength", 1)) * (1 if choice == 0 else -1)


def _side(answer: Answer) -> Any:
    return "tie" if answer["choice"] == "bad" else answer["choice"]
