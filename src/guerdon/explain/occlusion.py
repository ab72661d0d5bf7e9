"""What each sentence of an answer adds to its reward: the sentence is left out, and the answer scored again.

    effect_i = R(prompt, response) - R(prompt, response without sentence i)

This is leave-one-out erasure (Li, Monroe & Jurafsky 2016, arXiv:1612.08220) with sentences as the units. It needs
nothing of the reward but scores, so it works for every `Scorer`. Effects need not add up to the reward: two sentences
that say the same thing may each have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from guerdon.types import Prompt, Scorer

_LINE = re.compile(r"[^\n]*\n+|[^\n]+")
_SENTENCE_END = re.compile(
    r"""[.!?]+["'”’)\]*]*\s+(?=["'“‘(\[*]*[A-Z0-9\u3400-\u9fff])|[。！？…]+["'”’）】》」]*\s*""", re.VERBOSE
)
_CLAUSE_END = re.compile(r"[,;:]\s+|[，；：]\s*")
_NOT_AN_END = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|No|Fig|e\.g|i\.e|cf|[A-Z])|^\s*\d{1,2})$")
"""What stands before a full stop that does not end a sentence: abbreviations, initials, the number of a list item."""


@dataclass(frozen=True, slots=True)
class Occlusion:
    """A response in segments, and what each adds to the reward."""

    segments: tuple[str, ...]
    """Joined, they are the response."""
    effects: np.ndarray
    """float32, shape (segments,), in the scorer's units; NaN where the answer without the segment has no reward."""
    score: float
    """R of the whole response."""


def occlude(scorer: Scorer, prompt: Prompt, response: str, *, reference: str | None = None) -> Occlusion:
    """Measures what each sentence adds to the reward, with one reward more than there are sentences.

    Args:
        scorer: any reward.
        prompt: what is answered.
        response: the answer; one of a single sentence is taken apart into clauses, and one of a single clause is left
            out as a whole, so that its effect is measured against the empty answer.
        reference: for scorers that need one.

    Returns:
        Segments and effects; none for an empty response.

    Example:
        >>> occlude(load_scorer("longest"), "Hello?", "Hi. I am here.").effects
        array([ 4., 11.], dtype=float32)
    """
    segments = split_segments(response)
    texts = [response, *(_without(segments, i) for i in range(len(segments)))]
    references = None if reference is None else [reference] * len(texts)
    rewards = np.asarray(scorer.score([prompt] * len(texts), texts, references=references), dtype=np.float32)
    return Occlusion(tuple(segments), rewards[0] - rewards[1:], float(rewards[0]))


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


def _without(segments: list[str], left_out: int) -> str:
    return "".join(segment for i, segment in enumerate(segments) if i != left_out).strip()
