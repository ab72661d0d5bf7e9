"""The pairs of responses that people ordered, as an audit of rewards and one of labels both read them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from guerdon.data.preferences import TIE, GradedGroup, row_preferences
from guerdon.metrics import Floats, Ints, cluster_codes
from guerdon.perturbations.perturbation import Perturbation, last_question
from guerdon.types import AnyRow, Prompt, Reference, group_key, prompt_text, response_texts

_ALL_PAIRS = 5
"""Of more responses to one prompt, each stands in one pair drawn at random: their pairs say little that is new."""


class NaturalPair(NamedTuple):
    """Two responses to one prompt, of which people preferred one."""

    prompt: Prompt
    better: str
    worse: str
    row: AnyRow
    """The row that says so."""

    @property
    def reference(self) -> str | None:
        """What a scorer may check responses against; a reference that is itself judged would tell it the answer."""
        return None if isinstance(self.row, Reference) else self.row.reference

    @property
    def key(self) -> str:
        """The same text for the same two responses, whichever is the better."""
        return "\0".join((prompt_text(self.prompt), *sorted((self.better, self.worse))))


@dataclass(frozen=True, slots=True, eq=False)
class NaturalPairs:
    """m pairs, of which the first of each cluster come first.

    Where nobody compared anything, each response is a pair with itself: it can be changed, but orders nothing.
    """

    pairs: tuple[NaturalPair, ...]
    clusters: Ints
    """What is not independent of each other, shape (m,)."""
    unit: str
    """What a cluster is: `prompt`, `group`, or `pair` where there is one prompt alone."""

    def __len__(self) -> int:
        """Pairs."""
        return len(self.pairs)

    @property
    def ordered(self) -> bool:
        """Whether people ordered them."""
        return any(pair.better != pair.worse for pair in self.pairs)

    def columns(self) -> tuple[list[Prompt], list[str], list[str]]:
        """Prompts, better and worse responses, m of each."""
        return [one.prompt for one in self.pairs], [one.better for one in self.pairs], [one.worse for one in self.pairs]

    def take(self, places: Sequence[int] | Ints | range) -> NaturalPairs:
        """The pairs at these places."""
        at = np.asarray(places, dtype=np.int64)
        return NaturalPairs(tuple(self.pairs[place] for place in at.tolist()), self.clusters[at], self.unit)


def natural_pairs(rows: Sequence[AnyRow], *, seed: int = 0) -> NaturalPairs:
    """The pairs that rows order, ties left out; single responses where they order none.

    Args:
        rows: judgements of any kinds.
        seed: seed of what is drawn: pairs of prompts with many responses, and the order of the pairs.
    """
    rng = np.random.default_rng(seed)
    found = [
        NaturalPair(group.prompt, group.responses[high], group.responses[low], group.rows[high])
        for group in row_preferences(rows)
        for high, low in _pairs(group, rng)
        if group.responses[high] != group.responses[low]
    ]
    if not found:
        found = [NaturalPair(row.prompt, text, text, row) for row in rows for text in response_texts(row)]
    keys = [group_key(one.row) for one in found]
    unit = "group" if any(one.row.group for one in found) else "prompt"
    if len(set(keys)) < 2:
        keys, unit = [str(place) for place in range(len(keys))], "pair"
    return NaturalPairs(tuple(found), cluster_codes(keys), unit).take(_first_of_each(keys, rng))


def more_of(one: Perturbation, pairs: NaturalPairs) -> Floats:
    """How much more of what a perturbation puts in the better response has by itself, shape (m,)."""
    assert one.measure is not None
    found = []
    for pair in pairs.pairs:
        asked = last_question(pair.prompt)
        found.append(one.measure(pair.better, asked) - one.measure(pair.worse, asked))
    return np.array(found, dtype=np.float64)


def _pairs(group: GradedGroup, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """(better, worse) of a group of responses: all pairs of a few, each of many once."""
    count = len(group.responses)
    if group.preference == TIE or count < 2:
        return
    drawn = rng.permutation(count).tolist()
    each_once = zip(drawn[::2], drawn[1::2], strict=False)
    for first, second in itertools.combinations(range(count), 2) if count <= _ALL_PAIRS else each_once:
        if group.grades[first] != group.grades[second]:
            yield (first, second) if group.grades[first] > group.grades[second] else (second, first)


def _first_of_each(keys: Sequence[str], rng: np.random.Generator) -> list[int]:
    """Places in random order, but the first of every key before the second of any."""
    seen = Counter[str]()
    turn = {}
    for place in rng.permutation(len(keys)).tolist():
        turn[place] = seen[keys[place]]
        seen[keys[place]] += 1
    return sorted(turn, key=turn.__getitem__)
