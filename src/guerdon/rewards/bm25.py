"""BM25: how well the words of a response match those of the prompt, as a search engine has it. Nothing is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import log
from pathlib import Path
from typing import Self

import numpy as np

from guerdon.errors import ContractError
from guerdon.rewards.saved import FILE_NAME, read_card, saving
from guerdon.rewards.scoring import BaseScorer, check_lengths
from guerdon.text.words import words_of
from guerdon.types import Prompts, References, Responses, Rewards, prompt_text

K1, B = 1.2, 0.75
"""How soon a repeated word counts no more, and how much the length of a response matters."""


class Bm25Reward(BaseScorer):
    """R(x, y) = sum over words t of the prompt of idf(t) f_t / (f_t + k1 (1 - b + b |y| / mean length)).

    f_t is how often the response has t, idf(t) = log(1 + (N - n_t + 0.5) / (n_t + 0.5)) with n_t of N documents that
    have t (Robertson & Zaragoza 2009, 3.3; the idf as Lucene has it, which is never negative). Words are those between
    spaces and marks, and single characters of Chinese and Japanese; their endings stay.

    Document frequencies and mean length come from the documents that it was fitted on, and are kept: a score does not
    depend on what else is scored.
    """

    def __init__(self, frequencies: Mapping[str, int], documents: int, mean_length: float) -> None:
        """Takes n_t of each word, N, and the mean number of words; use `fit`."""
        self.frequencies, self.documents, self.mean_length = dict(frequencies), documents, mean_length

    @classmethod
    def fit(cls, documents: Iterable[str]) -> Self:
        """Counts the words of documents; equal ones count once."""
        found = [words_of(text) for text in dict.fromkeys(documents)]
        frequencies = Counter(word for words in found for word in sorted(set(words)))
        return cls(frequencies, len(found), sum(map(len, found)) / max(len(found), 1))

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """Rewards of 0 or more, 0 where no word is shared. `references` are not read."""
        check_lengths(prompts, responses, references)
        asked = {text: words_of(text) for text in set(map(prompt_text, prompts))}
        said = {text: words_of(text) for text in set(responses)}
        counts = {text: Counter(words) for text, words in said.items()}
        values = []
        for prompt, response in zip(map(prompt_text, prompts), responses, strict=True):
            soft = K1 * (1 - B + B * len(said[response]) / (self.mean_length or 1.0))
            own = counts[response]
            values.append(
                sum(self._idf(word) * own[word] / (own[word] + soft) for word in asked[prompt] if word in own)
            )
        return Rewards(np.array(values, dtype=np.float32), ("",) * len(responses))

    def _idf(self, word: str) -> float:
        known = self.frequencies.get(word, 0)
        return log(1 + (self.documents - known + 0.5) / (known + 0.5))

    def save(self, folder: str | Path) -> None:
        """Writes `guerdon.json`. Raises OutputError."""
        content = {"frequencies": self.frequencies, "documents": self.documents, "mean_length": self.mean_length}
        with saving(folder, "bm25", content):
            pass  # there is nothing beside it

    @classmethod
    def load(cls, folder: str | Path, **_: object) -> Self:
        """Reads what `save` wrote. Raises ContractError where it is broken."""
        card = read_card(Path(folder), "bm25")
        try:
            frequencies = {str(word): int(count) for word, count in card["frequencies"].items()}
            return cls(frequencies, int(card["documents"]), float(card["mean_length"]))
        except (AttributeError, TypeError, ValueError) as error:
            raise ContractError(
                f"{Path(folder) / FILE_NAME} is not that of BM25: {error!r}. Fix: fit it again"
            ) from error
