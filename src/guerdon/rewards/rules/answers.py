"""Whether the answer is right, where there is one right answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np

from guerdon.types import Prompt

_NUMBER = re.compile(r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?:/\d+)?|[-+\u2212]?\.\d+")
_MARKED = (re.compile(r"####\s*(.+)"), re.compile(r"\\boxed\{([^{}]*)\}"))
"""How data sets and models mark a final answer: GSM8K's ####, and \\boxed{} of mathematics."""


@dataclass(frozen=True, slots=True)
class ExactAnswer:
    r"""1 where the final answer is the reference, 0 where it is not, NaN without a reference.

    The final answer is what stands behind the last `####` or in the last `\boxed{}`, else the whole response; case,
    width, white space and a full stop at the end do not count.
    """

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`."""
        return _each(responses, references, lambda said, right: _normal(_final(said)) == _normal(_final(right)))


@dataclass(frozen=True, slots=True)
class NumericAnswer:
    """1 where the last number of the final answer is that of the reference, 0 where it is not, NaN without one."""

    tolerance: float = 0.0
    """Largest difference, relative to the reference, that still counts as equal."""

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`. A reference without a number gives NaN."""
        return _each(responses, references, self._equal)

    def _equal(self, said: str, right: str) -> bool | None:
        expected = last_number(_final(right))
        if expected is None:
            return None
        found = last_number(_final(said))
        return found is not None and abs(found - expected) <= Fraction(self.tolerance) * abs(expected)


def last_number(text: str) -> Fraction | None:
    """The last number in a text, exactly: 1,000 and 1e3 and 3/4 are numbers; None where there is none."""
    found = _NUMBER.findall(unicodedata.normalize("NFKC", text))
    if not found:
        return None
    over, _, under = found[-1].replace(",", "").replace("\u2212", "-").partition("/")
    try:
        return Fraction(Decimal(over)) / int(under or 1)
    except (InvalidOperation, ZeroDivisionError, OverflowError):
        return None


def _each(
    responses: Sequence[str],
    references: Sequence[str | None] | None,
    right: Callable[[str, str], bool | None],
) -> np.ndarray:
    given = references if references is not None else [None] * len(responses)
    verdicts = [
        None if reference is None else right(text, reference) for text, reference in zip(responses, given, strict=True)
    ]
    return np.array([np.nan if verdict is None else float(verdict) for verdict in verdicts], dtype=np.float32)


def _final(text: str) -> str:
    marked = [(match.start(), match.group(1)) for pattern in _MARKED for match in pattern.finditer(text)]
    return max(marked)[1] if marked else text


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".\u3002 ")
