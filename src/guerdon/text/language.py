"""Which language a text is written in, as far as that can be told at a glance."""

from __future__ import annotations

import functools
import re
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["en", "zh"]
"""The languages for which the house has words of its own."""

_WORD = re.compile(r"[a-zA-Z]+(?:'[a-z]+)?")
FREQUENT_WORD = re.compile(
    r"\b(?:the|of|and|to|a|in|is|it|that|for|you|on|with|as|was|are|be|this|i|not|have|or|at|by|from|but|an|they|we|he|"
    r"she|his|her|their|will|can|if|there|so|all|your|which|do|what|more|no|about|when|up|one|would|my|been|has)\b",
    re.IGNORECASE,
)
_FREQUENT_SHARE, _FEW_WORDS = 0.12, 8
"""English prose has a third of such words; other languages in Latin letters, code and formulas have next to none."""


@functools.lru_cache(maxsize=4096)
def language_of(text: str) -> Language | None:
    """English or Chinese prose; None for other languages, for code, and for what has no words.

    A few words in plain Latin letters are taken for English.
    """
    if is_chinese(text):
        return "zh"
    words = _WORD.findall(text)
    letters = sum(map(str.isalpha, text))
    if not words or sum(map(len, words)) < 0.9 * letters or "```" in text:
        return None
    frequent = len(FREQUENT_WORD.findall(text))
    return "en" if len(words) < _FEW_WORDS or frequent >= _FREQUENT_SHARE * len(words) else None


def is_chinese(text: str) -> bool:
    """Whether at least three in ten letters are Chinese characters."""
    letters = [character for character in text if character.isalpha()]
    return 10 * sum("\u3400" <= character <= "\u9fff" for character in letters) >= 3 * max(1, len(letters))
