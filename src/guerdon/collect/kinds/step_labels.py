"""Which steps of a solution are right, for process rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Literal

from guerdon.collect.kinds.asking import Answer, AnswerError, Question, Task
from guerdon.types import STEP_BREAK, AnyRow, Steps

_LABELS = {"right": 1, "wrong": 0, "": None}


@dataclass(frozen=True, kw_only=True)
class StepsQuestion(Question):
    """Judges steps.

    An answer is a list with 1 (right), 0 (wrong) or None (not judged) for each step. All steps up to the first wrong
    one are judged; those behind it need not be.
    """

    kind: ClassVar[str] = "steps"
    takes: ClassVar[Literal["one"]] = "one"

    def parts(self, task: Task) -> tuple[str, ...]:
        """The steps of the response: as the data has them, else what empty lines part."""
        if task.steps:
            return task.steps
        return tuple(part.strip("\n") for part in task.responses[0].split(STEP_BREAK) if part.strip())

    def answer(self, form: Mapping[str, str], task: Task) -> Answer:
        """Reads `NUMBER`, the number of the step from 0: `right`, `wrong` or nothing."""
        labels: list[int | None] = []
        for at in range(len(self.parts(task))):
            value = self.field(form, str(at))
            if value not in _LABELS:
                raise AnswerError(f"{self.name}: {value!r} says nothing of step {at + 1}")
            if not value and 0 not in labels:
                raise AnswerError(f"{self.name}: step {at + 1} is not judged")
            labels.append(_LABELS[value])
        return labels

    def rows(self, task: Task, answers: Sequence[Answer], about: Mapping[str, Any]) -> list[AnyRow]:
        """The solution with its labels; pooled, a label is the share of those who judged the step."""
        judged = [[label for label in labels if label is not None] for labels in zip(*answers, strict=True)]
        labels = tuple(fmean(values) if values else None for values in judged)
        return [Steps(prompt=task.prompt, steps=self.parts(task), labels=labels, **about)]

    def moved(self, answer: Answer, places: Sequence[int]) -> Answer:
        """The same: there is one response."""
        return answer

    def apart(self, answer: Answer, other: Answer) -> float:
        """Whether the first errors differ; what is judged behind them does not matter."""
        first, second = (labels.index(0) if 0 in labels else None for labels in (answer, other))
        return float(first != second)
