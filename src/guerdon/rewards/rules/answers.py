"""Whether the answer is right, where there is one right answer."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import ClassVar

from guerdon.rewards.rules.rule import Rule
from guerdon.types import Prompt

_NUMBER = re.compile(r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?:/\d+)?|[-+\u2212]?\.\d+")
_MARKED = (re.compile(r"####\s*(.+)"), re.compile(r"\\boxed\{([^{}]*)\}"))
"""How data sets and models mark a final answer: GSM8K's ####, and \\boxed{} of mathematics."""


@dataclass(frozen=True, slots=True)
class ExactAnswer(Rule):
    r"""1 where the final answer is the reference, 0 where it is not; no reward without a reference.

    The final answer is what stands behind the last `####` or in the last `\boxed{}`, else the whole response; case,
    width, white space and a full stop at the end do not count.
    """

    needs_reference: ClassVar[str] = "reference answer"

    def reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        """1 where both final answers are the same."""
        return float(_normal(_final(response)) == _normal(_final(reference)))


@dataclass(frozen=True, slots=True)
class NumericAnswer(Rule):
    """1 where the last number of the final answer is that of the reference, 0 where it is not.

    No reward where there is no reference, or no number in it.
    """

    needs_reference: ClassVar[str] = "reference answer"
    tolerance: float = 0.0
    """Largest difference, relative to the reference, that still counts as equal."""

    def reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        """1 where both last numbers are equal."""
        expected = last_number(_final(reference))
        if expected is None:
            return f"the reference has no number: {reference[:60]!r}"
        found = last_number(_final(response))
        return float(found is not None and abs(found - expected) <= Fraction(self.tolerance) * abs(expected))


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


def _final(text: str) -> str:
    marked = [(match.start(), match.group(1)) for pattern in _MARKED for match in pattern.finditer(text)]
    return max(marked)[1] if marked else text


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".\u3002 ")
