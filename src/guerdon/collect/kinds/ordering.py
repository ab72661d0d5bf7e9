"""An order of several responses, of all or only of some."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Literal

from guerdon.collect.kinds.asking import Answer, AnswerError, Question, Task, at_places
from guerdon.types import AnyRow, Ranking


@dataclass(frozen=True, kw_only=True)
class RankingQuestion(Question):
    """Ranks responses.

    An answer is a list with the rank of each response, 1 the best, equal for ties, None for one that is not ranked:
    nothing is said of how that one compares.
    """

    kind: ClassVar[str] = "ranking"
    takes: ClassVar[Literal["several"]] = "several"

    def answer(self, form: Mapping[str, str], task: Task) -> Answer:
        """Reads `PLACE`, a rank or nothing."""
        ranks: list[int | None] = []
        for place in range(len(task.responses)):
            value = self.field(form, str(place))
            if value and value not in map(str, range(1, len(task.responses) + 1)):
                raise AnswerError(f"{self.name}: {value!r} is no rank")
            ranks.append(int(value) if value else None)
        given = sorted({rank for rank in ranks if rank is not None})
        if sum(rank is not None for rank in ranks) < 2:
            raise AnswerError(f"{self.name}: at least two responses must be ranked")
        return [None if rank is None else given.index(rank) + 1 for rank in ranks]

    def rows(self, task: Task, answers: Sequence[Answer], about: Mapping[str, Any]) -> list[AnyRow]:
        """A ranking of the responses that everybody ranked, by (mean) rank; none where that leaves fewer than two."""
        ranked = [place for place in range(len(task.responses)) if all(answer[place] is not None for answer in answers)]
        if len(ranked) < 2:
            return []
        last = max(answer[place] for answer in answers for place in ranked)
        return [
            Ranking(
                prompt=task.prompt,
                responses=tuple(task.responses[place] for place in ranked),
                scores=tuple(last - fmean(answer[place] for answer in answers) for place in ranked),
                **about,
            )
        ]

    def scored(self, scores: Sequence[float]) -> Answer:
        """The highest number first."""
        ordered = sorted(set(scores), reverse=True)
        return [ordered.index(score) + 1 for score in scores]

    def moved(self, answer: Answer, places: Sequence[int]) -> Answer:
        """Brings the ranks into the new order."""
        return at_places(answer, places)

    def apart(self, answer: Answer, other: Answer) -> float:
        """Of the pairs that both ranked, the share that they order oppositely; half of one where one has a tie."""
        ranked = [two for two in zip(answer, other, strict=True) if None not in two]
        signs = [(_sign(a - c), _sign(b - d)) for (a, b), (c, d) in itertools.combinations(ranked, 2)]
        return fmean(abs(one - two) / 2 for one, two in signs) if signs else 0.0


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
