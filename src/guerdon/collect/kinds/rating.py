"""A number for each of some named attributes of every response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Literal

from guerdon.collect.kinds.asking import Answer, AnswerError, Question, Task, at_places, whole_number
from guerdon.errors import ConfigError
from guerdon.types import AnyRow, Rating


@dataclass(frozen=True, kw_only=True)
class RatingQuestion(Question):
    """Rates every response.

    An answer is a list with an object {attribute: number} for each response.
    """

    kind: ClassVar[str] = "rating"
    takes: ClassVar[Literal["any"]] = "any"

    attributes: tuple[str, ...] = ("score",)
    """What is rated."""
    scale: int = 5
    """From 1 to this."""

    def __post_init__(self) -> None:
        whole_number(self.scale, f"question {self.name}: scale", 2, 9)
        names = tuple(self.attributes)
        if not names or len(set(names)) < len(names) or not all(str(one).strip() == one for one in names):
            raise ConfigError(f"question {self.name}: attributes must be different names, got {list(names)}")
        object.__setattr__(self, "attributes", names)

    def answer(self, form: Mapping[str, str], task: Task) -> Answer:
        """Reads `PLACE.NUMBER`, the number of the attribute."""
        found = []
        for place in range(len(task.responses)):
            scores = {}
            for at, attribute in enumerate(self.attributes):
                value = self.field(form, f"{place}.{at}")
                if value not in map(str, range(1, self.scale + 1)):
                    raise AnswerError(f"{self.name}: {attribute} is not rated")
                scores[attribute] = int(value)
            found.append(scores)
        return found

    def rows(self, task: Task, answers: Sequence[Answer], about: Mapping[str, Any]) -> list[AnyRow]:
        """A rating of each response; pooled it has the mean of each attribute."""
        return [
            Rating(
                prompt=task.prompt,
                response=text,
                scores={name: fmean(answer[place][name] for answer in answers) for name in self.attributes},
                **about,
            )
            for place, text in enumerate(task.responses)
        ]

    def moved(self, answer: Answer, places: Sequence[int]) -> Answer:
        """Brings the ratings into the new order."""
        return at_places(answer, places)

    def apart(self, answer: Answer, other: Answer) -> float:
        """The largest difference of two ratings, as a share of the scale."""
        differences = (abs(one[name] - two[name]) for one, two in zip(answer, other, strict=True) for name in one)
        return max(differences, default=0) / (self.scale - 1)
