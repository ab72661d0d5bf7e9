"""Made-up scorers and judges whose explanation is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from guerdon.types import Prompt, References

PROMPT = "How do I boil an egg?"
FIRST = "Put it into boiling water for eight minutes, then cool it. I am sorry."
OTHER = "I do not know the answer."


class Words:
    """The sum of the values of the words that a response has; a word that is not known is worth nothing."""

    def __init__(self, **values: float) -> None:
        self.values = values
        self.asked = 0

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        self.asked += len(responses)
        texts = (text.lower().replace(",", " ").replace(".", " ").split() for text in responses)
        return np.float32([sum(self.values.get(word, 0) for word in words) for words in texts])


class FirstPlace:
    """A judge with a liking for longer responses, and for the first place."""

    def compare(
        self, prompts: Sequence[Prompt], a: Sequence[str], b: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        logits = [0.1 * (len(first) - len(second)) + 0.5 for first, second in zip(a, b, strict=True)]
        return np.float32(1 / (1 + np.exp(-np.array(logits))))
