"""Rows of any kind as one shape: items that have a reward, and pairs of items that people ordered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from guerdon.data.preferences import overall_ratings, rated_attributes
from guerdon.errors import DataError
from guerdon.metrics import Floats, Ints, cluster_codes, within_group_pairs
from guerdon.types import AnyRow, Comparison, Prompt, Ranking, Rating, Reference, group_key, prompt_text

Request: TypeAlias = tuple[Prompt, str, str | None]
"""What a scorer is asked about: prompt, response, reference."""


@dataclass(slots=True)
class Requests:
    """The distinct requests of all tables, so that nothing is scored twice."""

    index: dict[Request, int] = field(default_factory=dict)

    def add(self, row: AnyRow, response: str) -> int:
        """The number of the request for this response to the row's prompt."""
        # A reference that is itself being judged would tell a reference-based scorer the answer.
        reference = None if isinstance(row, Reference) else row.reference
        request = row.prompt, response, reference
        return self.index.setdefault(request, len(self.index))


@dataclass(frozen=True, slots=True)
class Table:
    """The judgements of one kind. All arrays of items have shape (n,), all of pairs shape (m,)."""

    kind: str
    requests: Ints
    """The request of each item."""
    truth: Floats
    """Human score of each item; NaN for comparisons and references, which have pairs only."""
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
        )

    def subset_names(self) -> list[str]:
        """The named subsets in alphabetical order."""
        return sorted({*np.unique(self.subsets).tolist(), *self.tie_subsets} - {""})

    def subset(self, name: str) -> Table:
        """The part of the table that belongs to one subset."""
        ties = tuple(subset for subset in self.tie_subsets if subset == name)
        return replace(self.select(self.subsets == name), tie_subsets=ties)


def tables_of(rows: Sequence[AnyRow]) -> tuple[list[Table], Requests]:
    """One table for each kind of row (for ratings, each attribute) that the data has.

    Raises:
        DataError: there are no rows.
    """
    if not rows:
        raise DataError("there is nothing to evaluate: the data has no rows")
    requests = Requests()
    tables = []
    comparisons = [row for row in rows if isinstance(row, Comparison)]
    if comparisons:
        decided = [row for row in comparisons if row.preference != 0.5]
        ties = tuple(row.subset for row in comparisons if row.preference == 0.5)
        pairs = [(row, row.chosen, row.rejected) for row in decided]
        tables.append(_pair_table("comparisons", pairs, requests, ties))
    ratings = [row for row in rows if isinstance(row, Rating)]
    for kind, items in _attributes(ratings):
        tables.append(_scored_table(kind, items, requests))
    ranked = [
        (row, number, response, score)
        for number, row in enumerate(row for row in rows if isinstance(row, Ranking))
        for response, score in zip(row.responses, row.scores, strict=True)
    ]
    if ranked:
        tables.append(_scored_table("rankings", ranked, requests))
    references = [
        (row, row.reference, text)
        for row in rows
        if isinstance(row, Reference) and row.reference is not None
        for text in row.generated
    ]
    if references:
        tables.append(_pair_table("references", references, requests, ()))
    if not tables:
        raise DataError("there is nothing to evaluate: the references have no generated texts to compare them with")
    return tables, requests


_ScoredItem: TypeAlias = tuple[AnyRow, int | str, str, float]
"""Row, the group of scores that may be compared, response, human score."""


def _attributes(ratings: Sequence[Rating]) -> Iterator[tuple[str, list[_ScoredItem]]]:
    """Kind and items: first all ratings by their overall grade, where there are several attributes, then each."""
    names = rated_attributes(ratings)
    if len(names) > 1:
        overall = overall_ratings(ratings).tolist()
        pairs = zip(ratings, overall, strict=True)
        yield "ratings: overall", [(row, prompt_text(row.prompt), row.response, value) for row, value in pairs]
    for name in names:
        kind = "ratings" if names == ["score"] else f"ratings: {name}"
        yield kind, [(r, prompt_text(r.prompt), r.response, r.scores[name]) for r in ratings if name in r.scores]


def _scored_table(kind: str, items: Sequence[_ScoredItem], requests: Requests) -> Table:
    truth = np.array([item[3] for item in items], dtype=np.float64)
    groups = cluster_codes([item[1] for item in items])
    limit = 400_000
    better, worse = within_group_pairs(truth, groups, limit=limit)
    sizes = np.bincount(groups)
    return _table(
        kind,
        [(item[0], item[2]) for item in items],
        requests,
        truth=truth,
        groups=groups,
        better=better,
        worse=worse,
        sampled=int((sizes * (sizes - 1)).sum()) > limit,
    )


def _pair_table(
    kind: str, pairs: Sequence[tuple[AnyRow, str, str]], requests: Requests, tie_subsets: tuple[str, ...]
) -> Table:
    numbers = np.arange(len(pairs))
    return _table(
        kind,
        [(row, text) for row, better, worse in pairs for text in (better, worse)],
        requests,
        truth=np.full(2 * len(pairs), np.nan),
        groups=np.repeat(numbers, 2),
        better=2 * numbers,
        worse=2 * numbers + 1,
        tie_subsets=tie_subsets,
    )


def _table(kind: str, items: Sequence[tuple[AnyRow, str]], requests: Requests, **arrays: object) -> Table:
    """The columns that all kinds have in common, beside those given."""
    common = {
        "requests": np.array([requests.add(row, text) for row, text in items], dtype=np.int64),
        "clusters": cluster_codes([group_key(row) for row, _ in items]),
        "rows": cluster_codes([id(row) for row, _ in items]),
        "lengths": np.array([len(text) for _, text in items], dtype=np.int64),
        "subsets": np.array([row.subset for row, _ in items], dtype=np.str_),
        "has_groups": any(row.group for row, _ in items),
    }
    return Table(kind=kind, **common, **arrays)  # type: ignore[arg-type]  # the fields come by name, of many types
