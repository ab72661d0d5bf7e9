"""TF-IDF features of a response: which words and pieces of words it has."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from guerdon.metrics import Floats, Ints
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import FeatureMatrix, Features, LinearReward
from guerdon.types import AnyRow, Prompt, Prompts, Responses, prompt_text

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

BASELINE_FOLDER = "baseline"
"""Folder in a saved reward model: the TF-IDF reward that was fitted on the same rows."""
MAX_CHARACTERS = 2000
"""Only so much of a response is read: it bounds the time of long documents and rarely changes a choice."""

_VECTORIZERS: tuple[dict[str, Any], ...] = (
    # Words, single punctuation marks, and single characters of Chinese and Japanese, which put no space between words.
    {"token_pattern": r"[^\W\u3040-\u9fff]+|[\u3040-\u9fff]|[^\w\s]", "ngram_range": (1, 2)},
    # Pieces of words: endings, misspellings, and Chinese words of two to four characters.
    {"analyzer": "char_wb", "ngram_range": (2, 4)},
)
_MAX_TERMS = 50_000
"""Most terms that each vectorizer keeps."""


class TermFeatures(Features):
    """Word 1-2-grams beside character 2-4-grams (the 50,000 most frequent of each), each part of length 1.

    (1 + log tf) * idf, idf = log((1 + N) / (1 + df)) + 1 (Salton & Buckley 1988; as scikit-learn has it). The prompt is
    not read.
    """

    kind: ClassVar[str] = "tfidf"
    reads_prompt: ClassVar[bool] = False
    penalties: ClassVar[tuple[float, ...]] = (1.0,)

    def __init__(self, vectorizers: Sequence[TfidfVectorizer]) -> None:
        """Takes fitted vectorizers, of words and of characters; use `fit` or `restore`."""
        self._vectorizers = tuple(vectorizers)

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Self:
        """Learns the terms and their document frequencies, which know nothing of judgements, from n >= 1 texts."""
        distinct = list(dict.fromkeys(texts))
        return cls([vectorizer.fit(distinct) for vectorizer in _vectorizers()])

    def compute(self, prompts: Prompts, responses: Responses) -> FeatureMatrix:
        """The features of n responses, a sparse float32 matrix of shape (n, terms)."""
        from scipy import sparse

        distinct = {text: place for place, text in enumerate(dict.fromkeys(responses))}
        parts = [vectorizer.transform(list(distinct)) for vectorizer in self._vectorizers]
        found = sparse.hstack(parts, format="csr")
        places = [distinct[text] for text in responses]
        return FeatureMatrix(found[places], ("",) * len(responses))

    def names(self) -> list[str]:
        """The terms in the order of their columns."""
        return [term for terms in self._terms() for term in terms]

    def words(self) -> list[str]:
        """The terms that are words and pairs of words; their columns come first."""
        return self._terms()[0]

    def _terms(self) -> list[list[str]]:
        return [part.get_feature_names_out().tolist() for part in self._vectorizers]

    def located(self, prompt: Prompt, response: str, weights: Floats) -> tuple[Floats, Floats]:
        """The value of a term goes to its occurrences alike, and of each to its characters alike.

        The prompt is not read: its characters add nothing.
        """
        found = self.compute([prompt], [response]).values
        added = dict(zip(found.indices.tolist(), (found.data * weights[found.indices]).tolist(), strict=True))
        text, places = _lowered(response)
        characters, first = np.zeros(len(response)), 0
        for vectorizer, occurrences in zip(self._vectorizers, (_word_terms, _character_terms), strict=True):
            spans: dict[int, list[list[int]]] = {}
            for term, at in occurrences(text):
                if (column := vectorizer.vocabulary_.get(term)) is not None:
                    spans.setdefault(first + int(column), []).append(at)
            for column, several in spans.items():
                for at in several:
                    np.add.at(characters, places[at], added[column] / len(several) / len(at))
            first += len(vectorizer.vocabulary_)
        return np.zeros(len(prompt_text(prompt))), characters

    def record(self) -> dict[str, Any]:
        """The terms of each vectorizer."""
        return {"terms": self._terms()}

    def arrays(self) -> dict[str, np.ndarray]:
        """The inverse document frequencies, parallel to the terms."""
        return {f"idf.{i}": part.idf_ for i, part in enumerate(self._vectorizers)}

    @classmethod
    def restore(cls, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], **_: Any) -> Self:
        """The same features again."""
        return cls(_vectorizers(record["terms"], [arrays[f"idf.{i}"] for i in range(len(record["terms"]))]))


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


def _vectorizers(terms: Sequence[Sequence[str]] = (), idf: Sequence[np.ndarray] = ()) -> list[TfidfVectorizer]:
    """One vectorizer for words, one for characters: to be fitted, or with terms and weights that are known."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = []
    for number, settings in enumerate(_VECTORIZERS):
        known = {"vocabulary": terms[number]} if terms else {"max_features": _MAX_TERMS}
        vectorizer = TfidfVectorizer(**settings, **known, preprocessor=_beginning, sublinear_tf=True, dtype=np.float32)
        if idf:
            vectorizer.idf_ = idf[number]
        found.append(vectorizer)
    return found


def _beginning(text: str) -> str:
    return text[:MAX_CHARACTERS].lower()


def _lowered(text: str) -> tuple[str, Ints]:
    """What the vectorizers read, and the place in the text of each of its characters: small letters may be longer."""
    sizes = [len(character.lower()) for character in text[:MAX_CHARACTERS]]
    return _beginning(text), np.repeat(np.arange(len(sizes)), sizes)


def _word_terms(text: str) -> Iterator[tuple[str, list[int]]]:
    """Every word and pair of words with the places of its characters, as the vectorizer of words finds them."""
    words = [(match[0], list(range(*match.span()))) for match in re.finditer(_VECTORIZERS[0]["token_pattern"], text)]
    yield from words
    for (first, at), (second, then) in itertools.pairwise(words):
        yield f"{first} {second}", at + then


def _character_terms(text: str) -> Iterator[tuple[str, list[int]]]:
    """Every piece of a word with the places of its characters, as scikit-learn's `char_wb` finds them."""
    least, most = _VECTORIZERS[1]["ngram_range"]
    for match in re.finditer(r"\S+", text):
        word, before = f" {match[0]} ", match.start() - 1
        for length in range(least, most + 1):
            for offset in range(max(1, len(word) - length + 1)):
                inside = range(max(offset, 1), min(offset + length, len(word) - 1))
                yield word[offset : offset + length], [before + place for place in inside]
            if len(word) <= length:  # a short word counts once
                break
