"""Rows of any kind as one shape: items that have a reward, and pairs of items that people ordered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from guerdon.data.preferences import TIE, GradedGroup, rated_attributes, row_preferences
from guerdon.errors import DataError
from guerdon.metrics import Floats, Ints, cluster_codes, within_group_pairs
from guerdon.types import AnyRow, Comparison, Prompt, Ranking, Rating, Reference, Steps, group_key

Request: TypeAlias = tuple[Prompt, str, str | None]
"""What a scorer is asked about: prompt, response, reference."""
Requests: TypeAlias = dict[Request, int]
"""Each distinct request of all tables, so that nothing is scored twice, and its number."""

_MOST_PAIRS = 400_000
"""Largest number of ordered pairs of ratings or rankings; of more, so many are drawn at random."""


@dataclass(frozen=True, slots=True)
class Table:
    """The judgements of one kind. All arrays of items have shape (n,), all of pairs shape (m,)."""

    kind: str
    requests: Ints
    """The request of each item."""
    truth: Floats
    """Human score of each item; 1 and 0 for comparisons and references."""
    groups: Ints
    """Within which scores may be compared: the prompt of a rating, one ranking, one comparison."""
    clusters: Ints
    """What the bootstrap keeps together: the row's group, else its prompt."""
    rows: Ints
    """The row of each item."""
    lengths: Ints
    """Characters of each response."""
    subsets: NDArray[np.str_]
    better: Ints
    """Item that people preferred, of each pair."""
    worse: Ints
    tie_subsets: tuple[str, ...] = ()
    """Subset of each comparison without a winner; such rows have no items here."""
    has_groups: bool = False
    """Whether any row names a group."""
    sampled: bool = False
    """Whether there were too many pairs, and some were drawn."""
    strength: Floats = field(default_factory=lambda: np.zeros(0))
    """By how much people preferred the better item of each pair, shape (m,); NaN where that was not recorded."""
    share: Floats = field(default_factory=lambda: np.zeros(0))
    """The share of people who preferred it, shape (m,): 1 where they were not counted."""

    def select(self, keep: NDArray[np.bool_], pairs: NDArray[np.bool_] | None = None) -> Table:
        """The table of the items for which `keep`, shape (n,), is true, and of the pairs between them.

        `pairs`, shape (m,), says which pairs may stay; None is all.
        """
        place = np.cumsum(keep) - 1
        pairs = keep[self.better] & keep[self.worse] & (True if pairs is None else pairs)
        names = ("requests", "truth", "groups", "clusters", "rows", "lengths", "subsets")
        return replace(
            self,
            **{name: getattr(self, name)[keep] for name in names},
            better=place[self.better[pairs]],
            worse=place[self.worse[pairs]],
            strength=self.strength[pairs],
            share=self.share[pairs],
        )

    def subset_names(self) -> list[str]:
        """The named subsets in alphabetical order."""
        return sorted({*np.unique(self.subsets).tolist(), *self.tie_subsets} - {""})

    def subset(self, name: str) -> Table:
        """The part of the table that belongs to one subset."""
        ties = tuple(subset for subset in self.tie_subsets if subset == name)
        return replace(self.select(self.subsets == name), tie_subsets=ties)


_NONE = np.zeros(0, dtype=np.int64)
EMPTY_TABLE = Table(
    "steps", _NONE, np.zeros(0), _NONE, _NONE, _NONE, _NONE, np.zeros(0, dtype=np.str_), better=_NONE, worse=_NONE
)
"""In place of pairs, for rows that have none."""


def tables_of(rows: Sequence[AnyRow]) -> tuple[list[Table], Requests]:
    """One table for each kind of row (for ratings, each attribute) that the data has, none for steps.

    Raises:
        DataError: there are no rows.
    """
    if not rows:
        raise DataError("there is nothing to evaluate: the data has no rows")
    requests: Requests = {}
    tables = [_table(kind, groups, requests) for kind, groups in _groups(rows) if groups]
    if not tables and not any(isinstance(row, Steps) for row in rows):
        raise DataError("there is nothing to evaluate: the references have no generated texts to compare them with")
    return tables, requests


def _groups(rows: Sequence[AnyRow]) -> Iterator[tuple[str, list[GradedGroup]]]:
    """Kind, and what its rows prefer. Ratings of several attributes come by their overall grade, then by each one."""
    ratings = [row for row in rows if isinstance(row, Rating)]
    others = list(row_preferences(row for row in rows if not isinstance(row, Rating)))
    yield "comparisons", [group for group in others if group.kind is Comparison]
    names = rated_attributes(ratings)
    if len(names) > 1:
        yield "ratings: overall", list(row_preferences(ratings))
    for name in names:
        yield "ratings" if names == ["score"] else f"ratings: {name}", list(row_preferences(ratings, name))
    yield "rankings", [group for group in others if group.kind is Ranking]
    yield "references", [group for group in others if group.kind is Reference and len(group.responses) > 1]


def request_of(row: AnyRow, response: str) -> Request:
    """What a scorer is asked about a response to the row's prompt."""
    # A reference that is itself being judged would tell a reference-based scorer the answer.
    return row.prompt, response, None if isinstance(row, Reference) else row.reference


def number_of(row: AnyRow, response: str, requests: Requests) -> int:
    """The number of that request, which is entered where it is new."""
    return requests.setdefault(request_of(row, response), len(requests))


def _table(kind: str, groups: Sequence[GradedGroup], requests: Requests) -> Table:
    ties = tuple(group.rows[0].subset for group in groups if group.preference == TIE)
    decided = [group for group in groups if group.preference != TIE]
    rows = [row for group in decided for row in group.rows]
    texts = [text for group in decided for text in group.responses]
    truth = np.array([grade for group in decided for grade in group.grades], dtype=np.float64)
    sizes = np.array([len(group.responses) for group in decided], dtype=np.int64)
    codes = np.repeat(np.arange(len(decided)), sizes)
    ordered = int((sizes * (sizes - 1)).sum())
    limit = _MOST_PAIRS if kind.startswith(("ratings", "rankings")) else ordered
    better, worse = within_group_pairs(truth, codes, limit=limit)
    return Table(
        kind=kind,
        requests=np.array([number_of(*one, requests) for one in zip(rows, texts, strict=True)], dtype=np.int64),
        truth=truth,
        groups=codes,
        clusters=cluster_codes([group_key(row) for row in rows]),
        rows=cluster_codes([id(row) for row in rows]),
        lengths=np.array([len(text) for text in texts], dtype=np.int64),
        subsets=np.array([row.subset for row in rows], dtype=np.str_),
        better=better,
        worse=worse,
        tie_subsets=ties,
        has_groups=any(row.group for row in rows),
        sampled=ordered > limit,
        strength=truth[better] - truth[worse] if kind != "comparisons" else _strengths(decided)[codes[better]],
        share=np.array([group.preference for group in decided], dtype=np.float64)[codes[better]],
    )


def _strengths(comparisons: Sequence[GradedGroup]) -> Floats:
    """The recorded margin of each comparison; where none has one, the lead in votes where these are known."""
    rows = [group.rows[0] for group in comparisons]
    margins = [row.margin if isinstance(row, Comparison) else None for row in rows]
    if any(margin is not None for margin in margins):
        return np.array([np.nan if margin is None else margin for margin in margins], dtype=np.float64)
    shares = np.array([group.preference for group in comparisons], dtype=np.float64)
    return 2 * shares - 1 if np.any(shares < 1) else np.full(len(rows), np.nan)
