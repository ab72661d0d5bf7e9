"""TF-IDF features of a response: which words and pieces of words it has."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from guerdon.errors import DataError
from guerdon.metrics import Floats, Ints
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import FeatureMatrix, Features, LinearReward
from guerdon.rewards.term_counts import PIECE_LENGTHS, WORD_PATTERN, TermCounts, count_pieces, count_words
from guerdon.types import AnyRow, Prompt, Prompts, Responses, prompt_text

BASELINE_FOLDER = "baseline"
"""Folder in a saved reward model: the TF-IDF reward that was fitted on the same rows."""
MAX_CHARACTERS = 2000
"""Only so much of a response is read: it bounds the time of long documents and rarely changes a choice."""

_COUNTERS: tuple[Callable[[Sequence[str]], TermCounts], ...] = (count_words, count_pieces)
_MAX_TERMS = 50_000
"""Most terms of each kind that are kept."""


@dataclass(frozen=True, eq=False)
class _Weighted:
    """Terms of one kind, and what each weighs."""

    count: Callable[[Sequence[str]], TermCounts]
    terms: list[str]
    """In the order of their columns."""
    idf: Floats
    """Inverse document frequencies, float32, shape (terms,)."""

    @classmethod
    def fit(cls, count: Callable[[Sequence[str]], TermCounts], texts: Sequence[str]) -> Self:
        """The most frequent terms of texts; of equally frequent ones, those that came first."""
        counted = count(texts)
        kept = np.argsort(-counted.totals(), kind="stable")[:_MAX_TERMS]
        names = counted.names(kept)
        order = sorted(range(len(names)), key=names.__getitem__)
        frequency = np.bincount(counted.of(kept[order]).indices, minlength=len(order))
        idf = np.log((1 + len(texts)) / (1 + frequency)) + 1
        return cls(count, [names[place] for place in order], idf.astype(np.float32))

    @cached_property
    def columns(self) -> dict[str, int]:
        """The column of each term."""
        return {term: place for place, term in enumerate(self.terms)}

    def values(self, texts: Sequence[str]) -> Any:
        """(1 + log tf) * idf of n texts, each of length 1 unless it has no term: sparse float32, shape (n, terms)."""
        from scipy.sparse import csr_matrix

        counted = self.count(texts)
        total = counted.units.shape[1] if counted.within is None else counted.within.shape[1]
        own = np.array([self.columns.get(name, -1) for name in counted.names(np.arange(total))], dtype=np.int64)
        known = np.flatnonzero(own >= 0)
        found = counted.of(known)
        columns = own[known][found.indices]
        data = (1 + np.log(found.data)) * self.idf[columns]
        rows = np.repeat(np.arange(len(texts)), np.diff(found.indptr))
        length = np.sqrt(np.bincount(rows, data.astype(np.float64) ** 2, len(texts)))
        data /= length[rows].astype(np.float32)
        shape = (len(texts), len(self.terms))
        weighted = csr_matrix((data, columns, found.indptr), shape=shape)
        weighted.sort_indices()
        return weighted


class TermFeatures(Features):
    """Word 1-2-grams beside character 2-4-grams (the 50,000 most frequent of each), each part of length 1.

    (1 + log tf) * idf, idf = log((1 + N) / (1 + df)) + 1 (Salton & Buckley 1988; as scikit-learn has it). Endings,
    misspellings, and Chinese words of two to four characters are pieces of words. The prompt is not read.
    """

    kind: ClassVar[str] = "tfidf"
    reads_prompt: ClassVar[bool] = False
    penalties: ClassVar[tuple[float, ...]] = (1.0,)

    def __init__(self, parts: Sequence[_Weighted]) -> None:
        """Takes the terms of words and of characters; use `fit` or `restore`."""
        self._parts = tuple(parts)

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Self:
        """Learns the terms and their document frequencies, which know nothing of judgements, from n >= 1 texts.

        Raises:
            DataError: there is not a single word or sign in them.
        """
        distinct = list(map(_beginning, dict.fromkeys(texts)))
        found = cls([_Weighted.fit(count, distinct) for count in _COUNTERS])
        if not found.names():
            raise DataError(f"there is not a word in {len(texts):,} responses")
        return found

    def compute(self, prompts: Prompts, responses: Responses) -> FeatureMatrix:
        """The features of n responses, a sparse float32 matrix of shape (n, terms)."""
        from scipy import sparse

        distinct = {text: place for place, text in enumerate(dict.fromkeys(responses))}
        texts = list(map(_beginning, distinct))
        found = sparse.hstack([part.values(texts) for part in self._parts], format="csr")
        places = [distinct[text] for text in responses]
        return FeatureMatrix(found[places], ("",) * len(responses))

    def names(self) -> list[str]:
        """The terms in the order of their columns."""
        return [term for terms in self._terms() for term in terms]

    def words(self) -> list[str]:
        """The terms that are words and pairs of words; their columns come first."""
        return self._terms()[0]

    def _terms(self) -> list[list[str]]:
        return [part.terms for part in self._parts]

    def located(self, prompt: Prompt, response: str, weights: Floats) -> tuple[Floats, Floats]:
        """The value of a term goes to its occurrences alike, and of each to its characters alike.

        The prompt is not read: its characters add nothing.
        """
        found = self.compute([prompt], [response]).values
        added = dict(zip(found.indices.tolist(), (found.data * weights[found.indices]).tolist(), strict=True))
        text, places = _lowered(response)
        characters, first = np.zeros(len(response)), 0
        for part, occurrences in zip(self._parts, (_word_terms, _character_terms), strict=True):
            spans: dict[int, list[list[int]]] = {}
            for term, at in occurrences(text):
                if (column := part.columns.get(term)) is not None:
                    spans.setdefault(first + column, []).append(at)
            for column, several in spans.items():
                for at in several:
                    np.add.at(characters, places[at], added[column] / len(several) / len(at))
            first += len(part.terms)
        return np.zeros(len(prompt_text(prompt))), characters

    def record(self) -> dict[str, Any]:
        """The terms of each kind."""
        return {"terms": self._terms()}

    def arrays(self) -> dict[str, np.ndarray]:
        """The inverse document frequencies, parallel to the terms."""
        return {f"idf.{i}": part.idf for i, part in enumerate(self._parts)}

    @classmethod
    def restore(cls, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], **_: Any) -> Self:
        """The same features again. Raises ValueError where terms and their frequencies do not fit each other."""
        parts = [
            _Weighted(count, list(terms), arrays[f"idf.{i}"])
            for i, (count, terms) in enumerate(zip(_COUNTERS, record["terms"], strict=True))
        ]
        for part in parts:
            if not len(part.columns) == len(part.terms) == len(part.idf):
                raise ValueError(
                    f"{len(part.columns)} distinct of {len(part.terms)} terms, {len(part.idf)} frequencies"
                )
        return cls(parts)


def fit_tfidf(rows: Sequence[AnyRow]) -> LinearReward:
    """The bag of words that a neural model must beat: linear on `TermFeatures`, fitted in seconds.

    Ratings alone are fitted as they are (ridge regression), so that rewards are in their units; everything else gives
    pairs.

    Raises:
        DataError: nothing in the rows orders two responses.

    Example:
        >>> reward = fit_tfidf(rows)
        >>> reward.score([prompt, prompt], ["a good answer", "a bad one"])
    """
    judged = JudgedResponses.of(rows, "ratings")
    return LinearReward.fit(TermFeatures.fit(judged.responses), judged, penalty=TermFeatures.penalties[0])


def _beginning(text: str) -> str:
    return text[:MAX_CHARACTERS].lower()


def _lowered(text: str) -> tuple[str, Ints]:
    """What is read of a text, and the place in the text of each of its characters: small letters may be longer."""
    sizes = [len(character.lower()) for character in text[:MAX_CHARACTERS]]
    return _beginning(text), np.repeat(np.arange(len(sizes)), sizes)


def _word_terms(text: str) -> Iterator[tuple[str, list[int]]]:
    """Every word and pair of words with the places of its characters, as `count_words` finds them."""
    words = [(match[0], list(range(*match.span()))) for match in WORD_PATTERN.finditer(text)]
    yield from words
    for (first, at), (second, then) in itertools.pairwise(words):
        yield f"{first} {second}", at + then


def _character_terms(text: str) -> Iterator[tuple[str, list[int]]]:
    """Every piece of a word with the places of its characters, as `count_pieces` finds them."""
    for match in re.finditer(r"\S+", text):
        word, before = f" {match[0]} ", match.start() - 1
        for length in PIECE_LENGTHS:
            for offset in range(len(word) - length + 1):
                inside = range(max(offset, 1), min(offset + length, len(word) - 1))
                yield word[offset : offset + length], [before + place for place in inside]
