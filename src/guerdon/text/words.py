"""The words of a text, in English and in Chinese: the one place that says what a word is."""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W_\u3040-\u9fff]+|[\u3040-\u9fff]")
"""Words, and single characters of Chinese and Japanese."""
_OPENING = re.compile(r"[(\[{<“‘「『（【《〈]")
_JOINS = frozenset("'’_")
"""What joins two words to one where it stands between them without a space: don't, snake_case."""


def words_of(text: str) -> list[str]:
    """Words in small letters, and single characters of Chinese and Japanese."""
    return [word.lower() for word in WORD.findall(text)]


def split_words(text: str) -> list[str]:
    """A text cut into words that give the text again when they are joined.

    Marks and white space belong to the word before them, opening brackets and quotation marks to the word after. Words
    of Chinese and Japanese are single characters.

    Example:
        >>> split_words("Don't (always) boil it. 煮八分钟。")
        ["Don't ", '(always) ', 'boil ', 'it. ', '煮', '八', '分', '钟。']
    """
    pieces, start, end = [], 0, 0
    for match in WORD.finditer(text):
        gap = text[end : match.start()]
        if end and not (gap in _JOINS and _latin(text[end - 1]) and _latin(match[0])):
            cut = end + _place_of_cut(gap)
            pieces.append(text[start:cut])
            start = cut
        end = match.end()
    return [*pieces, text[start:]] if text else []


def _place_of_cut(gap: str) -> int:
    """Where what stands between two words is divided between them."""
    spaces = [match.end() for match in re.finditer(r"\s+", gap)]
    if spaces:
        return spaces[-1]
    opening = _OPENING.search(gap)
    return opening.start() if opening else len(gap)


def _latin(text: str) -> bool:
    return not "\u3040" <= text[0] <= "\u9fff"
