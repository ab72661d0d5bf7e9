"""Changes that add a sentence or two and leave the response as it is."""

from __future__ import annotations

import random
import re

from guerdon.perturbations.perturbation import Change, phrases
from guerdon.text.language import Language, is_chinese
from guerdon.text.sentences import split_sentences

_ECHOED = 160
"""Characters of a question that are repeated at most."""


def opening(name: str, pick: int | None = None) -> Change:
    """Puts one of the phrases of this name before the response: any of them, or the one of this number."""

    def change(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
        of_language = phrases(name)[language]
        phrase = rng.choice(of_language) if pick is None else of_language[pick]
        return before(text, phrase) if text.strip() else None

    return change


def closing(name: str, count: int = 1) -> Change:
    """Puts so many of the phrases of this name behind the response."""

    def change(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
        return behind(text, rng.sample(phrases(name)[language], count), language) if text.strip() else None

    return change


def signed(place: int) -> Change:
    """Signs the response with one name of a pair."""

    def change(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
        return f"{text.rstrip()}\n\n— {rng.choice(phrases('signed')[language])[place]}" if text.strip() else None

    return change


def echoed(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Repeats the last sentence that was asked before it answers."""
    sentences = [one.strip() for one in split_sentences(asked) if one.strip()]
    if not sentences or not text.strip():
        return None
    question = sentences[-1][:_ECHOED]
    return before(text, f"You asked: “{question}”" if language == "en" else f"您的问题是：“{question}”")


def repeated(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Says one of its sentences again at the end."""
    sentences = [one.strip() for one in split_sentences(text) if len(one.strip()) > 1]
    return behind(text, [rng.choice(sentences)], language) if sentences else None


def before(text: str, phrase: str) -> str:
    """A phrase before a text: on the same line in prose, on a line of its own before lists and headings."""
    if re.match(r"\s*(?:[-*•#>|]|\d+[.)、])", text):
        return f"{phrase}\n\n{text}"
    return f"{phrase}{'' if is_chinese(phrase) else ' '}{text}"


def behind(text: str, sentences: list[str], language: Language) -> str:
    """Sentences behind a text that ends as it did: in its last paragraph, or on a line of its own after a list."""
    body = text.rstrip()
    if body[-1:].isalnum():
        body += "." if language == "en" else "。"
    gap = "" if language == "zh" else " "
    last_line = body.rpartition("\n")[2]
    first_gap = "\n\n" if re.match(r"\s*(?:[-*•#>|]|\d+[.)、])\s", last_line) else gap
    return body + first_gap + gap.join(sentences)
