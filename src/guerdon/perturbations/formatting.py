"""Changes of form: lists, bold, headings, emoji, exclamation marks."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence

from guerdon.perturbations.perturbation import phrases
from guerdon.text.language import Language
from guerdon.text.sentences import split_sentences

ITEM = re.compile(r"(?m)^[ \t]*(?:[-*•](?!\*)|\d+[.)、](?!\d))[ \t]*(?=\S)")
_MARKDOWN = re.compile(r"(?m)^[ \t]*(?:[-*•>|]|#{1,6} |\d+[.)、](?!\d))|\*\*")
_CONTENT_WORD = re.compile(r"\b[A-Za-z][A-Za-z'-]{5,}\b|[\u4e00-\u9fff]{2,4}(?=[，。；！？,.;!?]|$)")


def as_list(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Makes every sentence an item of a list."""
    sentences = plain_sentences(text)
    return "\n".join(f"- {sentence}" for sentence in sentences) if len(sentences) > 1 else None


def bold(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Sets one long word of every sentence in bold."""
    sentences = plain_sentences(text, keep_gaps=True)
    changed = [_CONTENT_WORD.sub(lambda word: f"**{word[0]}**", sentence, count=1) for sentence in sentences]
    return "".join(changed)


def headings(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Puts a heading before the response, and before its later parts."""
    sentences = plain_sentences(text)
    if not sentences:
        return None
    titles = phrases("headings")[language][: min(3, len(sentences))]
    bounds = [round(place * len(sentences) / len(titles)) for place in range(len(titles) + 1)]
    gap = " " if language == "en" else ""
    parts = (gap.join(sentences[start:stop]) for start, stop in itertools.pairwise(bounds))
    return "\n\n".join(f"{title}\n\n{part}" for title, part in zip(titles, parts, strict=True))


def emoji(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Puts an emoji behind every second sentence."""
    sentences = split_sentences(text)
    return "".join(
        _behind_body(sentence, " " + rng.choice(phrases("emoji")[language])) if place % 2 == 0 else sentence
        for place, sentence in enumerate(sentences)
    )


def exclaiming(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Ends every sentence with an exclamation mark."""
    return re.sub(r"(?<=[^\W\d_])\.(?=\s|$)", "!", re.sub("。", "！", text))


def plain_sentences(text: str, *, keep_gaps: bool = False) -> Sequence[str]:
    """The sentences of prose that has no form yet; none where it has lists, headings or bold words."""
    if _MARKDOWN.search(text):
        return []
    sentences = split_sentences(text)
    return sentences if keep_gaps else [one.strip() for one in sentences if one.strip()]


def _behind_body(sentence: str, addition: str) -> str:
    body = sentence.rstrip()
    return body + addition + sentence[len(body) :]
