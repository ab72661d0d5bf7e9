"""Rows as what statistics of annotators know: items, annotators, and one of some categories for each judgement."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from guerdon.collect.rows_out import judgement_rows
from guerdon.data.annotators import annotator_column, row_votes
from guerdon.data.preferences import TIE
from guerdon.errors import DataError
from guerdon.metrics import Floats, Ints, Level, cluster_codes
from guerdon.types import AnyRow, Comparison, Ranking, Rating, Steps, group_key, prompt_text

if TYPE_CHECKING:
    from guerdon.collect.kinds.asking import Question

Kind: TypeAlias = Literal["pair", "strength", "score", "step"]
LEVELS: dict[str, tuple[Level, ...]] = {
    "pair": ("nominal",),
    "strength": ("ordinal",),
    "score": ("ordinal", "interval"),
    "step": ("nominal",),
}
"""Kind -> which alphas say something of it."""
MOST_CATEGORIES = 20
"""Scores of more different values are no categories: kappa, Dawid-Skene and noise are left out."""
_FIRST, _SECOND, _TIE, _BAD = 0.0, 1.0, 2.0, 3.0
_PAIR_WORDS = {_FIRST: "first", _SECOND: "second", _TIE: "tie", _BAD: "both bad"}
_STEP_WORDS = {0.0: "wrong", 1.0: "right"}


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The judgements of one question."""

    name: str
    """Of the question, or of the attribute that was rated."""
    kind: Kind
    rows: tuple[AnyRow, ...]
    """The first row that judges each item, without the name of who judged."""
    texts: tuple[tuple[str, ...], ...]
    """Of each item the two texts that it compares, the one that it rates, or the steps up to the one that it judges."""
    clusters: Ints
    """Items of one prompt (or group) have one code; shape (n,)."""
    items: Ints
    """The item of each judgement, shape (m,)."""
    who: Ints
    """The annotator of each judgement, shape (m,)."""
    said: Ints
    """The category of each judgement, shape (m,)."""
    sources: Ints
    """The place of the row of each judgement, shape (m,)."""
    annotators: tuple[str, ...]
    """Names; empty for all who were not named."""
    values: Floats
    """Of the categories, ascending, shape (K,): scores, strengths (positive for the first text), or codes."""

    @property
    def categories(self) -> tuple[str, ...]:
        """What the categories are called."""
        words = _PAIR_WORDS if self.kind == "pair" else _STEP_WORDS if self.kind == "step" else {}
        return tuple(words.get(value, f"{value:g}") for value in self.values.tolist())

    @property
    def swap(self) -> Ints | None:
        """What each category becomes where the two texts of an item change places; None where there are no two."""
        if self.kind == "strength":
            return np.arange(len(self.values))[::-1]
        if self.kind != "pair":
            return None
        turned = [{_FIRST: _SECOND, _SECOND: _FIRST}.get(value, value) for value in self.values.tolist()]
        return np.searchsorted(self.values, turned)

    @property
    def is_named(self) -> bool:
        """Whether it is known who judged."""
        return all(self.annotators)

    def counts(self) -> Ints:
        """Judgements of each item by category, shape (n, K)."""
        kinds = len(self.values)
        cells = np.bincount(self.items * kinds + self.said, minlength=len(self.rows) * kinds)
        return cells.reshape(len(self.rows), kinds)


@dataclass(slots=True)
class _Collected:
    kind: Kind
    keys: dict[Hashable, int] = field(default_factory=dict)
    rows: list[AnyRow] = field(default_factory=list)
    texts: list[tuple[str, ...]] = field(default_factory=list)
    said: dict[tuple[int, str, int], tuple[float, int]] = field(default_factory=dict)
    """(item, annotator, a number of its own for one who is not named) -> value, place of the row."""


def labelled_rows(rows: Sequence[AnyRow], annotator: str | None = None, name: str = "") -> list[Labelled]:
    """What annotators said, for each question: preferences, their strengths, each attribute, steps.

    Of two judgements of one item by one annotator the later counts. `votes` of a comparison are judgements of people
    who are not named. Rankings are the comparisons that they make. References, and rows of which nobody knows who
    judged them, take no part.

    Args:
        rows: rows of any kinds.
        annotator: the column that names who judged; None takes one of the usual names.
        name: what the question is called; attributes and strengths follow it. Empty: preference, steps, attributes.

    Raises:
        ConfigError: no row has the column `annotator`.
        DataError: nobody judged anything, as far as is known.
    """
    column = annotator_column(rows, annotator)
    found: dict[str, _Collected] = {}
    for place, row in enumerate(rows):
        for asked, kind, key, texts, given in _judged(row, column, name):
            one = found.setdefault(asked, _Collected(kind))
            item = one.keys.setdefault(key, len(one.keys))
            if item == len(one.rows):
                extra = {other: value for other, value in row.extra.items() if other != column}
                one.rows.append(replace(row, extra=extra))
                one.texts.append(texts)
            for who, value in given:
                one.said[item, who, 0 if who else len(one.said)] = value, place
    labelled = [_as_codes(asked, one) for asked, one in found.items()]
    if not labelled:
        raise DataError(
            "no row says who judged it. Fix: a row for each judgement with a column `annotator` (--annotator names "
            "another), or comparisons with `votes` [for chosen, for rejected, for neither]"
        )
    return [one for one in labelled if one.kind != "strength" or len(one.values) > 3]


def labelled_judgements(found: Sequence[Any], questions: Iterable[Question]) -> list[Labelled]:
    """What annotators said in a store, for each question that somebody answered.

    Args:
        found: of `guerdon.collect.rows_out.current_judgements`; `sources` are places in it.
        questions: those that count.
    """
    labelled: list[Labelled] = []
    for asked in questions:
        made = list(judgement_rows(found, asked))
        if made and asked.kind != "rewrite":
            places = np.array([place for place, _ in made], dtype=np.int64)
            ours = labelled_rows([row for _, row in made], "annotator", asked.name)
            labelled += [replace(one, sources=places[one.sources]) for one in ours]
    return labelled


def _as_codes(name: str, one: _Collected) -> Labelled:
    values = {value for value, _ in one.said.values()}
    if one.kind == "strength":
        values |= {-value for value in values}
    elif one.kind == "pair":
        values |= {_FIRST, _SECOND}
    ascending = np.array(sorted(values))
    names = sorted({who for _, who, _ in one.said})
    code = {who: at for at, who in enumerate(names)}
    return Labelled(
        name=name,
        kind=one.kind,
        rows=tuple(one.rows),
        texts=tuple(one.texts),
        clusters=cluster_codes([group_key(row) for row in one.rows]),
        items=np.array([item for item, _, _ in one.said], dtype=np.int64),
        who=np.array([code[who] for _, who, _ in one.said], dtype=np.int64),
        said=np.searchsorted(ascending, [value for value, _ in one.said.values()]),
        sources=np.array([place for _, place in one.said.values()], dtype=np.int64),
        annotators=tuple(names),
        values=ascending,
    )


_Given: TypeAlias = list[tuple[str, float]]
"""Annotator, empty where not named, and value."""


def _judged(
    row: AnyRow, column: str | None, name: str
) -> Iterator[tuple[str, Kind, Hashable, tuple[str, ...], _Given]]:
    """Question, kind, key of the item, its texts, and what was said of it, for all that a row judges."""
    who = str(row.extra.get(column, "")) if column else ""
    prompt = prompt_text(row.prompt)
    if isinstance(row, Comparison):
        first, second = sorted((row.chosen, row.rejected))
        ahead = row.chosen == first
        asked = name or "preference"
        votes = row_votes(row.extra)
        if votes is not None:
            sides = (_FIRST, _SECOND, _TIE) if ahead else (_SECOND, _FIRST, _TIE)
            anonymous = [("", side) for side, count in zip(sides, votes, strict=True) for _ in range(round(count))]
            yield asked, "pair", (prompt, first, second), (first, second), anonymous
        elif who:
            tie = row.preference == TIE
            value = (_BAD if row.extra.get("both_bad") else _TIE) if tie else _FIRST if ahead else _SECOND
            yield asked, "pair", (prompt, first, second), (first, second), [(who, value)]
            if tie or row.margin is not None:
                strength = 0.0 if tie else float(row.margin or 0.0) * (1 if ahead else -1)
                yield f"{asked}: strength", "strength", (prompt, first, second), (first, second), [(who, strength)]
    elif not who:
        return
    elif isinstance(row, Ranking):
        for (one, score), (other, second_score) in itertools.combinations(
            sorted(zip(row.responses, row.scores, strict=True)), 2
        ):
            value = _TIE if score == second_score else _FIRST if score > second_score else _SECOND
            yield name or "preference", "pair", (prompt, one, other), (one, other), [(who, value)]
    elif isinstance(row, Rating):
        for attribute, rated in row.scores.items():
            asked = f"{name}: {attribute}" if name and len(row.scores) > 1 else name or attribute
            yield asked, "score", (prompt, row.response), (row.response,), [(who, float(rated))]
    elif isinstance(row, Steps):
        for at, label in enumerate(row.labels):
            if label in (0, 1):
                steps = row.steps[: at + 1]
                yield name or "steps", "step", (prompt, row.steps, at), steps, [(who, float(label))]
