"""How much of a style a response has by itself: what people's own choices are compared by."""

from __future__ import annotations

import functools
import re

from guerdon.perturbations.formatting import ITEM
from guerdon.perturbations.perturbation import Measure, marks
from guerdon.text.sentences import split_sentences

_BOLD = re.compile(r"\*\*(?=\S).+?\*\*")
_HEADING = re.compile(r"(?m)^\s*#{1,6} ")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
_TOKEN = re.compile(r"[^\W_\u3040-\u9fff]+|[\u3040-\u9fff]")
_PIECE = 4
"""Words (or Chinese characters) of a piece that counts as taken from the question."""


def length(response: str, asked: str) -> float:
    """Characters."""
    return float(len(response))


def list_items(response: str, asked: str) -> float:
    """Items of lists."""
    return float(len(ITEM.findall(response)))


def bold_words(response: str, asked: str) -> float:
    """Pieces in bold."""
    return float(len(_BOLD.findall(response)))


def heading_lines(response: str, asked: str) -> float:
    """Headings."""
    return float(len(_HEADING.findall(response)))


def emoji_count(response: str, asked: str) -> float:
    """Emoji."""
    return float(len(_EMOJI.findall(response)))


def exclamation_marks(response: str, asked: str) -> float:
    """Exclamation marks."""
    return float(response.count("!") + response.count("！"))


def capitals(response: str, asked: str) -> float:
    """Words in capitals."""
    return float(len(re.findall(r"\b[A-Z]{2,}\b", response)))


def share_of_question(response: str, asked: str) -> float:
    """Share of its pieces of four words (or Chinese characters) that the question has too."""
    own, of_question = _pieces(response), set(_pieces(asked))
    return sum(piece in of_question for piece in own) / len(own) if own else 0.0


def said_again(response: str, asked: str) -> float:
    """Share of its pieces of four words (or Chinese characters) that it has said before."""
    own = _pieces(response)
    return 1 - len(set(own)) / len(own) if own else 0.0


def unfinished(response: str, asked: str) -> float:
    """1 where the last sentence has no end."""
    last = (split_sentences(response) or [""])[-1].rstrip()
    return float(bool(last) and last[-1].isalnum())


def womens_share(response: str, asked: str) -> float:
    """Words for women minus words for men."""
    return count_of("women")(response, asked) - count_of("men")(response, asked)


@functools.cache
def count_of(name: str) -> Measure:
    """How often the expressions of `marks.json` under this name occur."""
    pattern = re.compile("|".join(f"(?:{one})" for one in marks(name)), re.IGNORECASE)

    def measure(response: str, asked: str) -> float:
        return float(sum(1 for _ in pattern.finditer(response)))

    return measure


def _pieces(text: str) -> list[tuple[str, ...]]:
    tokens = [token.lower() for token in _TOKEN.findall(text)]
    return list(zip(*(tokens[start:] for start in range(_PIECE)), strict=False))
