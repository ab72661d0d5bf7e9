"""What every kind of question has: the words of the forms, and the shape that the kinds share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from guerdon.errors import ConfigError, GuerdonError
from guerdon.types import AnyRow, Prompt

Answer: TypeAlias = Any
"""What a question was answered, JSON-ready. Responses are named by their place in the task, not on the page."""


class AnswerError(GuerdonError):
    """A form whose answer cannot be used; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Task:
    """What people are asked about: a prompt with its responses."""

    prompt: Prompt
    responses: tuple[str, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    """What rows have beside prompt and responses: `reference`, `subset`, `group`, `id`, `extra`."""
    steps: tuple[str, ...] = ()
    """The steps of the one response, where the data has them apart."""
    gold: Mapping[str, Answer] = field(default_factory=dict)
    """Question -> the answer that is known to be right, to check annotators by."""
    systems: tuple[str, ...] = ()
    """Who wrote each response, where that is known; never shown."""


@dataclass(frozen=True, kw_only=True)
class Question(ABC):
    """One question about every task."""

    kind: ClassVar[str]
    """Its name in question files."""
    takes: ClassVar[Literal["pair", "one", "several", "any"]]
    """How many responses a task must have for it: two, one, two or more, or at least one."""
    prefers: ClassVar[bool] = False
    """Whether its answers say which response is better, so that only one such question makes training rows."""

    name: str
    text: Mapping[str, str] = field(default_factory=dict)
    """Language -> what annotators read; without it the words of the kind."""

    @abstractmethod
    def answer(self, form: Mapping[str, str], task: Task) -> Answer:
        """The answer that a form holds, in fields whose names begin with `NAME.`.

        Raises:
            AnswerError: there is none, or it says what cannot be.
        """

    @abstractmethod
    def rows(self, task: Task, answers: Sequence[Answer], about: Mapping[str, Any]) -> list[AnyRow]:
        """The rows that one answer makes, or several pooled; `about` are the other fields of the rows."""

    @abstractmethod
    def moved(self, answer: Answer, places: Sequence[int]) -> Answer:
        """The same answer where the response of place i has the place `places[i]`."""

    def scored(self, scores: Sequence[float]) -> Answer | None:
        """The answer of a model that gives each response a number, higher is better; None where that says nothing."""
        return None

    def known(self, row: AnyRow) -> tuple[tuple[str, ...], Answer] | None:
        """The responses and the answer of a row that is known to be right; None where it answers no such question."""
        return None

    def options(self) -> dict[str, Any]:
        """The question as question files have it."""
        from dataclasses import asdict

        return {"kind": self.kind} | asdict(self)

    def asked(self, language: str) -> str:
        """The question in a language, or in another where it is not written in that one; empty for the kind's words."""
        return self.text.get(language) or next(iter(self.text.values()), "")

    def equal(self, answer: Answer, other: Answer) -> bool:
        """Whether two answers say the same, as for gold questions."""
        return bool(answer == other)

    def apart(self, answer: Answer, other: Answer) -> float:
        """How far two answers differ: 0 not at all, 1 as far as can be. From 0.5 on a task is disputed."""
        return float(not self.equal(answer, other))

    def field(self, form: Mapping[str, str], name: str) -> str:
        """A field of the form that belongs to this question, empty where it is not there."""
        return form.get(f"{self.name}.{name}", "").strip()


def at_places(values: Sequence[Any], places: Sequence[int]) -> list[Any]:
    """Values for each response, each moved to its new place."""
    found = list(values)
    for value, place in zip(values, places, strict=True):
        found[place] = value
    return found


def whole_number(value: object, name: str, low: int, high: int) -> int:
    """An option that must be a whole number between two others, else ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    return value


def with_extra(about: Mapping[str, Any], **extra: Any) -> dict[str, Any]:
    """The fields of a row with more own columns."""
    return {**about, "extra": {**about.get("extra", {}), **extra}}
