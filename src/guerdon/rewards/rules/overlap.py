"""How much of a reference text a response has, letter by letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.types import Prompt


@dataclass(frozen=True, slots=True)
class ChrF:
    """chrF of the response and its reference, in [0, 1]; NaN without a reference.

    A yardstick for translations, summaries and short answers that needs no training, in any script.
    """

    order: int = 6
    beta: float = 2.0

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`."""
        given = references if references is not None else [None] * len(responses)
        values = [
            np.nan if reference is None else chrf(text, reference, order=self.order, beta=self.beta)
            for text, reference in zip(responses, given, strict=True)
        ]
        return np.array(values, dtype=np.float32)


def chrf(text: str, reference: str, *, order: int = 6, beta: float = 2.0) -> float:
    """The character n-gram F-score (Popovic 2015; chrF2 as in sacrebleu, which gives it times 100).

        F = (1 + beta^2) P R / (beta^2 P + R)

    P and R are the shares of the n-grams of the text in the reference and the other way round, averaged over the orders
    1 to `order` that both have; white space does not count.
    """
    said, right = "".join(text.split()), "".join(reference.split())
    precisions, recalls = [], []
    for n in range(1, order + 1):
        if len(said) < n or len(right) < n:
            break
        ours, theirs = (Counter(one[i : i + n] for i in range(len(one) - n + 1)) for one in (said, right))
        shared = (ours & theirs).total()
        precisions.append(shared / ours.total())
        recalls.append(shared / theirs.total())
    if not precisions or not sum(precisions):
        return 0.0
    precision, recall = np.mean(precisions), np.mean(recalls)
    return float((1 + beta**2) * precision * recall / (beta**2 * precision + recall))
