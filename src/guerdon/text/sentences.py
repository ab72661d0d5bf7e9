"""A text cut into sentences, lines or clauses that give the text again when they are joined."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = re.compile(r"[^\n]*\n+|[^\n]+")
_SENTENCE_END = re.compile(
    r"""[.!?]+["'”’)\]*]*\s+(?=["'“‘(\[*]*[A-Z0-9\u3400-\u9fff])|[。！？…]+["'”’）】》」]*\s*""", re.VERBOSE
)
_CLAUSE_END = re.compile(r"[,;:]\s+|[，；：]\s*")
_NOT_AN_END = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|No|Fig|e\.g|i\.e|cf|[A-Z])|^\s*\d{1,2})$")
"""What stands before a full stop that does not end a sentence: abbreviations, initials, the number of a list item."""


def split_segments(text: str) -> list[str]:
    """Sentences where there are several, else clauses; joined, they are the text."""
    sentences = split_sentences(text)
    return sentences if len(sentences) != 1 else list(_tidy(_cut(text, _CLAUSE_END)))


def split_sentences(text: str) -> list[str]:
    """Sentences of English and Chinese prose, and lines of code and lists; joined, they are the text.

    White space belongs to the sentence before it. Every new line starts a sentence.
    """
    return list(_tidy(piece for line in _LINE.findall(text) for piece in _cut(line, _SENTENCE_END)))


def _cut(text: str, end: re.Pattern[str]) -> Iterator[str]:
    start = 0
    for match in end.finditer(text):
        if not _NOT_AN_END.search(text[start : match.start()]):
            yield text[start : match.end()]
            start = match.end()
    if start < len(text):
        yield text[start:]


def _tidy(pieces: Iterator[str]) -> Iterator[str]:
    """Joins pieces without a letter or digit (blank lines, a lone bracket) to the piece before, or else after."""
    held = ""
    for piece in pieces:
        if held and any(map(str.isalnum, held)) and any(map(str.isalnum, piece)):
            yield held
            held = piece
        else:
            held += piece
    if held:
        yield held
