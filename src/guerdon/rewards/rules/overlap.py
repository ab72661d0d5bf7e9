"""How much of a reference text a response has, letter by letter."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guerdon.rewards.rules.rule import Rule
from guerdon.types import Prompt


@dataclass(frozen=True, slots=True)
class ChrF(Rule):
    """chrF of the response and its reference, in [0, 1]; no reward without a reference.

    A yardstick for translations, summaries and short answers that needs no training, in any script.
    """

    needs_reference: ClassVar[str] = "reference text"
    order: int = 6
    """Longest n-grams, in characters."""
    beta: float = 2.0
    """Recall counts beta times as much as precision."""

    def reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        """The character n-gram F-score of the two texts."""
        return chrf(response, reference, order=self.order, beta=self.beta)


def chrf(text: str, reference: str, *, order: int = 6, beta: float = 2.0) -> float:
    """The character n-gram F-score (Popovic 2015; chrF2 as in sacrebleu, which gives it times 100).

        F = (1 + beta^2) P R / (beta^2 P + R)

    P and R are the shares of the n-grams of the text in the reference and the other way round, averaged over the orders
    1 to `order` that both have; white space does not count.
    """
    text, reference = "".join(text.split()), "".join(reference.split())
    precisions, recalls = [], []
    for n in range(1, order + 1):
        if len(text) < n or len(reference) < n:
            break
        found, wanted = (Counter(one[i : i + n] for i in range(len(one) - n + 1)) for one in (text, reference))
        shared = (found & wanted).total()
        precisions.append(shared / found.total())
        recalls.append(shared / wanted.total())
    if not precisions or not sum(precisions):
        return 0.0
    precision, recall = np.mean(precisions), np.mean(recalls)
    return float((1 + beta**2) * precision * recall / (beta**2 * precision + recall))
