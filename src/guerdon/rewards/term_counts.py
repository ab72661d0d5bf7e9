"""How often terms stand in texts: words and pairs of words, and pieces of words, as sparse matrices.

Counting takes few steps of Python a word rather than some a character: words become numbers, and pieces, which never
reach beyond a word, are looked up once for each distinct word, so that the counts of texts are a matrix product.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from guerdon.metrics import Floats, Ints

WORD_PATTERN = re.compile(r"[^\W\u3040-\u9fff]+|[\u3040-\u9fff]|[^\w\s]")
"""Words, single punctuation marks, and single characters of Chinese and Japanese, which put no space between words."""
PIECE_LENGTHS = (2, 3, 4)
"""Characters of a piece of a word, a space on each side of the word included."""


@dataclass(frozen=True, slots=True, eq=False)
class TermCounts:
    """The terms of n texts: units of which a text has some, each of which is or holds terms."""

    units: Any
    """How often each unit stands in each text, sparse, shape (n, units)."""
    within: Any
    """How often each term stands in each unit, sparse, shape (units, terms); None where every unit is a term."""
    names: Callable[[Ints], list[str]]
    """The terms of some columns."""

    def totals(self) -> Floats:
        """How often each term stands in all texts, shape (terms,)."""
        ones = np.ones(self.units.shape[0])
        units = self.units.T @ ones
        return np.asarray(units if self.within is None else self.within.T @ units)

    def of(self, columns: Ints) -> Any:
        """The counts of some terms, sparse float32, shape (n, columns)."""
        return self.units[:, columns] if self.within is None else self.units @ self.within[:, columns]


def count_words(texts: Sequence[str]) -> TermCounts:
    """Words, and pairs of words that follow each other."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    found = [list(map(numbers.__getitem__, WORD_PATTERN.findall(text))) for text in texts]
    words = list(numbers)
    row, word = _flat(found)
    follows = np.flatnonzero(row[1:] == row[:-1])
    pairs, pair = np.unique(word[follows] * len(words) + word[follows + 1], return_inverse=True)

    def names(columns: Ints) -> list[str]:
        of_pairs = pairs[np.maximum(columns - len(words), 0)] if len(pairs) else np.zeros_like(columns)
        first, second = np.divmod(of_pairs, max(1, len(words)))
        return [
            words[column] if column < len(words) else f"{words[one]} {words[other]}"
            for column, one, other in zip(columns.tolist(), first.tolist(), second.tolist(), strict=True)
        ]

    rows, columns = np.concatenate([row, row[follows]]), np.concatenate([word, len(words) + pair])
    return TermCounts(_counted(rows, columns, (len(texts), len(words) + len(pairs))), None, names)


def count_pieces(texts: Sequence[str]) -> TermCounts:
    """Pieces of two to four characters of the words between white space."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    row, word = _flat([list(map(numbers.__getitem__, text.split())) for text in texts])
    pieces: defaultdict[str, int] = defaultdict()
    pieces.default_factory = pieces.__len__
    unit, piece = _flat([list(map(pieces.__getitem__, pieces_of(one))) for one in numbers])
    known = list(pieces)
    return TermCounts(
        _counted(row, word, (len(texts), len(numbers))),
        _counted(unit, piece, (len(numbers), len(known))),
        lambda columns: [known[column] for column in columns.tolist()],
    )


def pieces_of(word: str) -> list[str]:
    """The pieces of one word, with a space on each side, shortest first."""
    padded = f" {word} "
    return [padded[at : at + size] for size in PIECE_LENGTHS for at in range(len(padded) - size + 1)]


def _flat(lists: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """The number of the list that each value stands in, and the values, both shape (values,)."""
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    values = np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum()))
    return np.repeat(np.arange(len(lists)), lengths), values


def _counted(rows: Ints, columns: Ints, shape: tuple[int, int]) -> Any:
    """How often each row and column meet, sparse float32."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
