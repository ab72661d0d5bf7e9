"""Texts that are the same but for small changes: exact Jaccard similarity of character shingles, for any language."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from guerdon.metrics import Floats, Ints
from guerdon.text.language import is_chinese

THRESHOLD = 0.5
"""Texts that share at least this part of their shingles are near duplicates. Other words in every tenth place leave
about 0.7, in every sixth 0.5; answers of two people to one question share about 0.1."""
_WINDOW, _CHINESE_WINDOW = 5, 2
"""Characters of a shingle: about a word."""
_FEWEST = 15
"""A text of fewer shingles is compared as a whole: `the answer is 12` is no near duplicate of `the answer is 13`."""
_CHUNK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The most similar other text of each of n texts, where there is one of at least the threshold."""

    place: Ints
    """Its number, -1 where there is none; shape (n,)."""
    similarity: Floats
    """Shared shingles over all shingles of the two, 1 for texts that are the same to a reader; shape (n,)."""

    @property
    def found(self) -> np.ndarray:
        """Which texts have one, bool, shape (n,)."""
        return np.asarray(self.place >= 0)


def nearest_texts(
    texts: Sequence[str],
    others: Sequence[str] | None = None,
    *,
    apart: Sequence[int] | Ints | None = None,
    threshold: float = THRESHOLD,
) -> Nearest:
    """The most similar other text of each text.

        J(a, b) = |S(a) & S(b)| / |S(a) | S(b)|

    with S the set of runs of five characters (two in Chinese) of a text without differences of case, width, white
    space and punctuation (Broder 1997). Nothing is estimated: with m = ceil(t |S|), two texts of J >= t share k of the
    rarest |S| - m + k shingles of either (Wang, Li & Feng 2012), so only such pairs are compared.

    Args:
        texts: n texts.
        others: where the similar text is looked for; None looks among the texts themselves.
        apart: a code for each text; only texts of different codes are compared. Only without `others`.
        threshold: the least similarity, in (0, 1].

    Returns:
        For each of the n texts its nearest among the others.
    """
    every = [*texts, *(others or ())]
    count, codes = len(texts), None if apart is None else np.asarray(apart)
    rows, sizes = _shingles(every)
    place, best = np.full(count, -1, dtype=np.int64), np.zeros(count)
    if not sizes.sum():
        return Nearest(place, best)
    prefix, shares = _rarest(rows, sizes, threshold)
    first = count if others is not None else 0
    sought, sought_rows, sought_sizes = prefix[first:].T.tocsr(), rows[first:], sizes[first:]
    for start in range(0, count, _CHUNK):
        shared = (prefix[start : start + _CHUNK][: count - start] @ sought).tocoo()
        one, other = shared.row + start, shared.col
        small, large = np.sort([sizes[one], sought_sizes[other]], axis=0)
        keep = (small >= threshold * large) & (shared.data >= np.minimum(shares[one], shares[first:][other]))
        if others is None:
            keep &= (one != other) if codes is None else (codes[one] != codes[other])
        one, other = one[keep], other[keep]
        for part in np.array_split(np.arange(len(one)), max(1, math.ceil(len(one) / (16 * _CHUNK)))):
            common = np.asarray(rows[one[part]].multiply(sought_rows[other[part]]).sum(axis=1)).ravel()
            similarity = common / (sizes[one[part]] + sought_sizes[other[part]] - common)
            order = np.argsort(similarity, kind="stable")  # of several assignments to one place, the last one stays
            order = order[similarity[order] >= np.maximum(threshold, best[one[part][order]] + 1e-12)]
            best[one[part][order]] = similarity[order]
            place[one[part][order]] = other[part][order]
    return Nearest(place, best)


def plain(text: str) -> str:
    """What a reader sees of a text: no differences of case, width, white space and punctuation."""
    shown = unicodedata.normalize("NFKC", text.replace("\u200b", "")).casefold()
    return " ".join("".join(letter if letter.isalnum() else " " for letter in shown).split())


def _shingles(texts: Sequence[str]) -> tuple[Any, Ints]:
    """A sparse matrix of 0 and 1, shape (n, distinct shingles, the rarest first), and the shingles of each text."""
    from scipy import sparse

    sets = [_hashes(plain(text)) for text in texts]
    sizes = np.array([len(one) for one in sets], dtype=np.int64)
    every = np.concatenate([*sets, np.zeros(0, np.uint64)])
    _, column, frequency = np.unique(every, return_inverse=True, return_counts=True)
    rank = np.empty(len(frequency), dtype=np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(len(frequency))
    indices, ends = rank[column], np.concatenate([[0], np.cumsum(sizes)])
    rows = sparse.csr_array((np.ones(len(indices), np.float32), indices, ends), shape=(len(texts), max(1, len(rank))))
    rows.sort_indices()
    return rows, sizes


def _hashes(text: str) -> np.ndarray:
    """The distinct hashes of the runs of characters of a text, uint64; of a short text one hash."""
    window = _CHINESE_WINDOW if is_chinese(text) else _WINDOW
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    if not len(letters):
        return np.zeros(0, dtype=np.uint64)
    if len(letters) < _FEWEST + window - 1:
        window = len(letters)
    powers = np.cumprod(np.full(window, 0x9E3779B97F4A7C15, dtype=np.uint64), dtype=np.uint64)
    return np.unique(np.lib.stride_tricks.sliding_window_view(letters + np.uint64(1), window) @ powers)


def _rarest(rows: Any, sizes: Ints, threshold: float) -> tuple[Any, Ints]:
    """Of each text the rarest shingles, and how many of them a text as similar as the threshold must share, shape (n,).

    More shingles of which more must be shared leave fewer pairs to compare; a quarter of what all must share is quick.
    """
    from scipy import sparse

    must = np.ceil(threshold * sizes - 1e-9).astype(np.int64)
    shares = np.maximum(1, must // 4)
    kept = np.where(sizes > 0, sizes - must + shares, 0)
    within = np.arange(len(rows.indices)) - np.repeat(rows.indptr[:-1], sizes)
    keep = within < np.repeat(kept, sizes)
    ends = np.concatenate([[0], np.cumsum(kept)])
    return sparse.csr_array((rows.data[keep], rows.indices[keep], ends), shape=rows.shape), shares
