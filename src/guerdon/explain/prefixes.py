"""The score of a response after each of its sentences (of one sentence: its clauses): where it was won or lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from guerdon.explain.target import Target
from guerdon.explain.units import Case, cut
from guerdon.metrics import Floats


@dataclass(frozen=True, slots=True, eq=False)
class PrefixCurve:
    """A response read sentence by sentence; a single sentence, clause by clause."""

    sentences: tuple[str, ...]
    """Joined, they are the response."""
    scores: Floats
    """The score of the empty response, and after each sentence, shape (sentences + 1,); NaN where there is none.

    Of a `Comparer`, the logit of P(the response so far is preferred to the whole other one)."""


def prefix_curve(target: Target, case: Case) -> PrefixCurve:
    """Scores every prefix of a response that ends with a sentence, or with a clause of its only sentence.

    Args:
        target: what scores; a `Comparer` needs a case with another response.
        case: the response; of two, the other one stays whole and is only read by a `Comparer`.
    """
    spans = cut(case.response, "segment")
    ends = [0, *(stop for _, stop in spans)]
    other = None if target.scorer is not None else case.other
    prefixes = [Case(case.prompt, case.response[:end].rstrip(), other, case.reference) for end in ends]
    found = target.ask(prefixes).values.astype(np.float64)
    return PrefixCurve(tuple(case.response[start:stop] for start, stop in spans), found)
