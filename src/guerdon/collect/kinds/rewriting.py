"""A better answer, written by the annotator: a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from guerdon.collect.kinds.asking import Answer, AnswerError, Question, Task
from guerdon.types import AnyRow, Reference

_MOST = 100_000


@dataclass(frozen=True, kw_only=True)
class RewriteQuestion(Question):
    """Rewrites the response. An answer is the new text."""

    kind: ClassVar[str] = "rewrite"
    takes: ClassVar[Literal["one"]] = "one"

    def answer(self, form: Mapping[str, str], task: Task) -> Answer:
        """Reads `text`."""
        text = self.field(form, "text")
        if not 0 < len(text) <= _MOST:
            raise AnswerError(f"{self.name}: the text has {len(text)} characters; it must have 1 to {_MOST}")
        return text

    def rows(self, task: Task, answers: Sequence[Answer], about: Mapping[str, Any]) -> list[AnyRow]:
        """A reference for each text, which should beat the response; the response itself where nothing was changed."""
        known = {name: value for name, value in about.items() if name != "reference"}
        (given,) = task.responses
        return [
            Reference(prompt=task.prompt, reference=text, generated=() if text == given.strip() else (given,), **known)
            for text in answers
        ]

    def moved(self, answer: Answer, places: Sequence[int]) -> Answer:
        """The same: there is one response."""
        return answer

    def equal(self, answer: Answer, other: Answer) -> bool:
        """Whether the texts differ in white space at most."""
        return str(answer).split() == str(other).split()

    def apart(self, answer: Answer, other: Answer) -> float:
        """0: two better texts do not contradict each other."""
        return 0.0
