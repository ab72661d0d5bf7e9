"""Surface measures of a response: length, form, variety, overlap with the prompt, arithmetic.

They cost next to nothing, read every language, and say in plain words what a reward rests on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from math import log1p
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from guerdon.rewards.linear import FeatureMatrix, Features
from guerdon.text.words import WORD, words_of
from guerdon.types import Prompts, Responses, prompt_text

_SENTENCE_END = re.compile(r"[.!?。！？\n]+")
_LIST_ITEM = re.compile(r"(?m)^\s*(?:[-*•]|\d+[.)、])\s*")
_QUOTE = re.compile('["“”‘’「」『』]')
_END = re.compile(r"[.!?。！？\"”'’)）\]】》」]\s*$")
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_AMOUNT = r"\d[\d,]*(?:\.\d+)?"
_LEFT_SIDE = re.compile(rf"(?<![\w.])\$?((?>{_AMOUNT}%?)(?>(?:\s*[-+*/x×÷]\s*\$?{_AMOUNT}%?)+))\s*$")
_RIGHT_SIDE = re.compile(rf"\s*\$?(-?{_AMOUNT})")
_LONGEST_SIDE = 100
"""Characters that the left side of an equation may have: it bounds the time that any text takes."""
_OPERAND = re.compile(r"[-+*/]|[\d.]+%?")
_LEAD_WORDS, _LEAD_SHARE = 20, 0.2
"""The beginning of a prompt: its first fifth, 20 words at least."""
_COMMON = 3
"""Shorter words are left out where the place of an overlap is measured: they occur everywhere."""


class SurfaceFeatures(Features):
    """Readable numbers of a prompt and a response; see `NAMES`."""

    kind: ClassVar[str] = "surface"
    penalties: ClassVar[tuple[float, ...]] = (3.0, 30.0)

    def compute(self, prompts: Prompts, responses: Responses) -> FeatureMatrix:
        """The features of n responses, shape (n, len(NAMES)); every text has them."""
        measured = (_measure(prompt_text(prompt), text) for prompt, text in zip(prompts, responses, strict=True))
        rows = [list(one.values()) for one in measured]
        return FeatureMatrix(np.array(rows, dtype=np.float64).reshape(len(rows), len(NAMES)), ("",) * len(rows))

    def names(self) -> list[str]:
        """What each number is."""
        return list(NAMES)

    def record(self) -> dict[str, Any]:
        """The names, so that another version that measures otherwise is not mistaken for this one."""
        return {"names": list(NAMES)}

    @classmethod
    def restore(cls, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], **_: Any) -> Self:
        """The same features again. Raises ValueError where another version measured otherwise."""
        if tuple(record["names"]) != NAMES:
            raise ValueError("it was fitted on the surface features of another version")
        return cls()


class _PromptWords(NamedTuple):
    total: int
    words: frozenset[str]
    bigrams: frozenset[tuple[str, ...]]
    trigrams: frozenset[tuple[str, ...]]
    lead: frozenset[str]
    place: dict[str, float]
    """Where a word of more than three letters stands first, 0 the beginning, 1 the end."""
    numbers: frozenset[str]


@lru_cache(maxsize=4096)
def _prompt_words(prompt: str) -> _PromptWords:
    words = words_of(prompt)
    lead = words[: max(_LEAD_WORDS, int(len(words) * _LEAD_SHARE))]
    place = {word: i / len(words) for i, word in reversed(list(enumerate(words))) if len(word) > _COMMON}
    return _PromptWords(
        len(words),
        frozenset(words),
        frozenset(_ngrams(words, 2)),
        frozenset(_ngrams(words, 3)),
        frozenset(lead),
        place,
        frozenset(_NUMBER.findall(prompt)),
    )


def _measure(prompt: str, text: str) -> dict[str, float]:
    """The features by name."""
    asked = _prompt_words(prompt)
    spelt = WORD.findall(text)
    words = [word.lower() for word in spelt]
    distinct = set(words)
    bigrams, trigrams = _ngrams(words, 2), _ngrams(words, 3)
    sentences = sum(bool(piece.strip()) for piece in _SENTENCE_END.split(text))
    categories = [unicodedata.category(letter) for letter in text]
    places = [asked.place[word] for word in distinct if word in asked.place]
    numbers = _NUMBER.findall(text)
    right, wrong = _equations(text)
    n, letters = len(words), len(text)
    return {
        "log characters": log1p(letters),
        "log words": log1p(n),
        "log sentences": log1p(sentences),
        "log words per sentence": log1p(_share(n, sentences)),
        "letters per word": _share(sum(map(len, words)), n),
        "distinct words, share": _share(len(distinct), n),
        "distinct bigrams, share": _share(len(set(bigrams)), len(bigrams)),
        "capitals, share of characters": _share(categories.count("Lu"), letters),
        "digits, share of characters": _share(categories.count("Nd"), letters),
        "punctuation, share of characters": _share(sum(name[0] == "P" for name in categories), letters),
        "symbols, share of characters": _share(sum(name[0] == "S" for name in categories), letters),
        "non-ASCII, share of characters": _share(sum(not letter.isascii() for letter in text), letters),
        "log line breaks": log1p(text.count("\n")),
        "log list items": log1p(len(_LIST_ITEM.findall(text))),
        "has a code block": float("```" in text),
        "log question marks": log1p(text.count("?") + text.count("？")),
        "log exclamation marks": log1p(text.count("!") + text.count("！")),
        "log quotation marks": log1p(len(_QUOTE.findall(text))),
        "log parentheses": log1p(text.count("(") + text.count("（")),
        "commas per word": _share(text.count(",") + text.count("，"), n),
        "has a link": float("://" in text),
        "ends with a closing mark": float(bool(_END.search(text))),
        "begins with a capital": float(text[:1].isupper()),
        "begins with a small letter": float(text[:1].islower()),
        "first person, share of words": _share_in(words, ("i", "me", "my")),
        "second person, share of words": _share_in(words, ("you", "your")),
        "words in capitals, share": _share(sum(len(word) > 1 and word.isupper() for word in spelt), n),
        "words of the prompt, share of the response": _share_in(words, asked.words),
        "bigrams of the prompt, share of the response": _share_in(bigrams, asked.bigrams),
        "trigrams of the prompt, share of the response": _share_in(trigrams, asked.trigrams),
        "words of the prompt that the response has, share": _share_in(asked.words, distinct),
        "words of the prompt's beginning that the response has, share": _share_in(asked.lead, distinct),
        "where in the prompt its words come from, 0 to 1": sum(places) / len(places) if places else 0.5,
        "is a copy of a part of the prompt": float(bool(text.strip()) and text.strip() in prompt),
        "log ratio of words to the prompt's": log1p(n) - log1p(asked.total),
        "absolute log ratio of words to the prompt's": abs(log1p(n) - log1p(asked.total)),
        "log numbers": log1p(len(numbers)),
        "numbers of the prompt, share of the response's": _share_in(numbers, asked.numbers),
        "numbers of the prompt that the response has, share": _share_in(asked.numbers, set(numbers)),
        "log right equations": log1p(right),
        "log wrong equations": log1p(wrong),
        "has a wrong equation": float(wrong > 0),
    }


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(n)), strict=False))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _share_in(items: Collection[str | tuple[str, ...]], known: Collection[str | tuple[str, ...]]) -> float:
    """The share of the items that are known; 0 where there are none."""
    return _share(sum(item in known for item in items), len(items))


def _equations(text: str) -> tuple[int, int]:
    """How many equations such as `3 * 4 = 12` are right, and how many wrong, to 1%."""
    right = wrong = 0
    for equals in re.finditer("=", text):
        left = _LEFT_SIDE.search(text[max(0, equals.start() - _LONGEST_SIDE) : equals.start()])
        result = _RIGHT_SIDE.match(text, equals.end())
        value = _value(left[1]) if left and result else None
        if value is not None and result:
            claimed = float(result[1].replace(",", ""))
            close = abs(value - claimed) <= 0.01 * max(1.0, abs(claimed))
            right, wrong = right + close, wrong + (not close)
    return right, wrong


def _value(expression: str) -> float | None:
    """The value of a sum of products; None where it divides by zero."""
    plain = expression.replace(",", "").replace("$", "").translate(str.maketrans("x×÷", "**/"))
    total, product, sign, operator = 0.0, None, 1.0, "*"
    for token in _OPERAND.findall(plain):
        if token in "+-":
            total, product = total + sign * (product or 0.0), None
            sign, operator = (1.0 if token == "+" else -1.0), "*"
        elif token in "*/":
            operator = token
        else:
            try:
                number = float(token.rstrip("%")) / (100.0 if token.endswith("%") else 1.0)
                product = number if product is None else product * number if operator == "*" else product / number
            except (ValueError, ZeroDivisionError):
                return None
    return total + sign * (product or 0.0)


NAMES = tuple(_measure("", ""))
"""The features in their order."""
