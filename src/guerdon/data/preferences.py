"""What rows prefer: one meaning of comparisons, ratings, rankings and references for every stage."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from guerdon.metrics import Floats
from guerdon.types import AnyRow, Comparison, Prompt, Ranking, Rating, Reference, prompt_text

TIE = 0.5
"""The preference of a comparison that neither response won."""


class PreferencePair(NamedTuple):
    """One response was preferred to another of its group."""

    better: int
    """Position in `GradedGroup.responses`."""
    worse: int
    preference: float
    """P(better preferred), in [0.5, 1]; 0.5 is a tie."""
    margin: float
    """By how much the better response was preferred, >= 0; 0 for a tie and where nothing was recorded."""


@dataclass(frozen=True, slots=True)
class GradedGroup:
    """Responses to one prompt whose grades may be compared with each other; higher is better.

    A group is one comparison, one ranking, one reference with its generated texts, or all ratings of a prompt. Grades
    of different groups have nothing to do with each other.
    """

    prompt: Prompt
    responses: tuple[str, ...]
    """At least one; a group of one prefers nothing."""
    grades: tuple[float, ...]
    """One per response; 1 and 0 for comparisons and references, else in the units of the data."""
    rows: tuple[AnyRow, ...]
    """The row that judges each response."""
    preference: float = 1.0
    """P(preferred) of the response with the higher grade in every pair; 0.5 for a comparison that is a tie."""
    margin: float | None = None
    """The margin of a comparison that has one; None takes the difference of the grades."""

    @property
    def kind(self) -> type[AnyRow]:
        """The type of the rows."""
        return type(self.rows[0])

    def pairs(self) -> Iterator[PreferencePair]:
        """Every pair of different grade, and the two responses of a comparison that is a tie.

        Equal grades of ratings, rankings and references order nothing; a tie between two responses that people
        compared says that their rewards should be equal.
        """
        for first, second in itertools.combinations(range(len(self.responses)), 2):
            difference = self.grades[first] - self.grades[second]
            if difference == 0 and self.preference != TIE:
                continue
            better, worse = (first, second) if difference >= 0 else (second, first)
            margin = abs(difference) if self.margin is None else self.margin
            yield PreferencePair(better, worse, self.preference, margin)


def row_preferences(rows: Iterable[AnyRow], attribute: str | None = None) -> Iterator[GradedGroup]:
    """What each row, or for ratings each prompt, prefers.

    A `Comparison` is a group of two with its preference; its margin is 0 where none was recorded. A `Ranking` is
    graded by its scores. A `Reference` beats its generated texts. `Steps` are one solution and prefer nothing. Ratings
    of one prompt are a group, graded by `overall_ratings`, or by one attribute.

    Args:
        rows: rows of any kinds.
        attribute: the attribute that grades ratings, instead of `overall_ratings`; ratings without it are left out.

    Yields:
        Groups in the order of the rows; those of ratings last, in the order of their first row.
    """
    ratings: list[Rating] = []
    for row in rows:
        if isinstance(row, Rating):
            ratings.append(row)
        elif isinstance(row, Comparison):
            tie = row.preference == TIE
            pair, margin = (row.chosen, row.rejected), 0.0 if tie else row.margin or 0.0
            yield GradedGroup(row.prompt, pair, (1.0, 1.0 if tie else 0.0), (row, row), row.preference, margin)
        elif isinstance(row, Ranking):
            yield GradedGroup(row.prompt, row.responses, row.scores, (row,) * len(row.responses))
        elif isinstance(row, Reference) and row.reference:
            texts, grades = (row.reference, *row.generated), (1.0, *[0.0] * len(row.generated))
            yield GradedGroup(row.prompt, texts, grades, (row,) * len(texts))
    if attribute is not None:
        ratings = [row for row in ratings if attribute in row.scores]
        yield from _rating_groups(ratings, [row.scores[attribute] for row in ratings])
    elif ratings:
        yield from _rating_groups(ratings, overall_ratings(ratings).tolist())


def _rating_groups(ratings: Sequence[Rating], grades: Sequence[float]) -> Iterator[GradedGroup]:
    of_prompt: dict[str, list[int]] = {}
    for place, row in enumerate(ratings):
        of_prompt.setdefault(prompt_text(row.prompt), []).append(place)
    for places in of_prompt.values():
        members = tuple(ratings[place] for place in places)
        responses = tuple(row.response for row in members)
        yield GradedGroup(members[0].prompt, responses, tuple(grades[place] for place in places), members)


def overall_ratings(ratings: Sequence[Rating]) -> Floats:
    """One number for each rating, shape (n,): how good the response is on the whole.

    It is the attribute `score` where every rating has it: that is where data sets keep an overall grade. A single
    attribute of another name counts as it is. Several attributes are each brought to mean 0 and deviation 1 over the
    ratings given, and the mean is taken of those that a rating has: a plain mean would be that of the attribute with
    the widest scale (0 to 100 beside 1 to 5), and would compare different things where attributes are missing.
    """
    if all("score" in row.scores for row in ratings):
        return np.array([row.scores["score"] for row in ratings], dtype=np.float64)
    names = sorted({name for row in ratings for name in row.scores})
    table = np.array([[row.scores.get(name, np.nan) for name in names] for row in ratings], dtype=np.float64)
    if len(names) == 1:
        return np.asarray(table[:, 0])
    spread = np.nanstd(table, axis=0)
    return np.asarray(np.nanmean((table - np.nanmean(table, axis=0)) / np.where(spread > 0, spread, 1), axis=1))


def rated_attributes(rows: Iterable[AnyRow]) -> list[str]:
    """The attributes that ratings among the rows have, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows if isinstance(row, Rating) for name in row.scores))
