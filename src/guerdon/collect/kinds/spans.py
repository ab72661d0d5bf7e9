"""Marked places of a response, each of a kind that costs something: minor and major errors, as MQM has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, ClassVar, Literal

from guerdon.collect.kinds.asking import Answer, AnswerError, Question, Task, with_extra
from guerdon.errors import ConfigError
from guerdon.types import AnyRow, Rating

_MOST = 500


@dataclass(frozen=True, kw_only=True)
class SpansQuestion(Question):
    """Marks spans.

    An answer is a list of {start, end, label}, characters counted from 0, `end` exclusive, in the order of the text;
    empty where nothing is to be marked.
    """

    kind: ClassVar[str] = "spans"
    takes: ClassVar[Literal["one"]] = "one"

    labels: Mapping[str, float] = field(default_factory=lambda: {"minor": 1.0, "major": 5.0})
    """Label -> what one such place costs; the score of a response is what all cost, negative."""

    def __post_init__(self) -> None:
        """Raises ConfigError for labels that cannot be."""
        good = all(isinstance(cost, int | float) for cost in self.labels.values())
        if not 1 <= len(self.labels) <= 9 or not good:
            raise ConfigError(f"question {self.name}: labels must be 1 to 9 names with numbers, got {self.labels}")

    def answer(self, form: Mapping[str, str], task: Task) -> Answer:
        """Reads `marks`, JSON; browsers count UTF-16 units, answers characters."""
        try:
            given = json.loads(self.field(form, "marks") or "[]")
            units = _unit_places(task.responses[0])
            spans = [{"start": units[one["start"]], "end": units[one["end"]], "label": one["label"]} for one in given]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise AnswerError(f"{self.name}: the marks cannot be read") from error
        if len(spans) > _MOST or any(one["label"] not in self.labels or one["start"] >= one["end"] for one in spans):
            raise AnswerError(f"{self.name}: the marks cannot be read")
        return sorted(spans, key=lambda one: (one["start"], one["end"], one["label"]))

    def rows(self, task: Task, answers: Sequence[Answer], about: Mapping[str, Any]) -> list[AnyRow]:
        """A rating: what the marked places cost, negative (pooled, on average); the places stand beside it."""
        score = -fmean(sum(self.labels[one["label"]] for one in answer) for answer in answers)
        said = with_extra(about, spans=answers[0] if len(answers) == 1 else list(answers))
        return [Rating(prompt=task.prompt, response=task.responses[0], scores={"score": score}, **said)]

    def moved(self, answer: Answer, places: Sequence[int]) -> Answer:
        """The same: there is one response."""
        return answer

    def marks(self, task: Task, answer: Answer) -> str:
        """The answer as the form has it."""
        units: dict[int, int] = {}
        for unit, character in _unit_places(task.responses[0]).items():
            units.setdefault(character, unit)
        spans = answer or []
        return json.dumps([one | {"start": units[one["start"]], "end": units[one["end"]]} for one in spans])

    def apart(self, answer: Answer, other: Answer) -> float:
        """1 - 2 |both| / (|one| + |other|) of the characters marked, each with its label (Dice)."""
        one, two = (
            {(place, span["label"]) for span in spans for place in range(span["start"], span["end"])}
            for spans in (answer, other)
        )
        return 1 - 2 * len(one & two) / (len(one) + len(two)) if one or two else 0.0


def _unit_places(text: str) -> dict[int, int]:
    """UTF-16 place -> place of the character; browsers count a line end of two characters as one."""
    found: dict[int, int] = {}
    unit = 0
    for place, mark in enumerate(text):
        found.setdefault(unit, place)
        if text[place : place + 2] != "\r\n":
            unit += 1 + (ord(mark) > 0xFFFF)
    found[unit] = len(text)
    return found
