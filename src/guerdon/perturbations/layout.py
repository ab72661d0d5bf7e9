"""Changes that leave every word as it is: white space, line breaks, quotes, width and invisible characters."""

from __future__ import annotations

import random
import re
import textwrap

from guerdon.perturbations.formatting import ITEM
from guerdon.text.language import Language
from guerdon.text.sentences import split_sentences

_HALF_WIDTH = str.maketrans("，。！？：；（）", ",.!?:;()")
_WRAPPED = {"en": 60, "zh": 30}
_ZERO_WIDTH = "\u200b"


def line_breaks_around(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """A blank line before and behind."""
    return f"\n\n{text.strip()}\n\n"


def wider_spaces(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Two spaces where there is one; in Chinese, a space behind every mark."""
    if language == "zh":
        return re.sub(r"(?<=[，。！？；：])(?=\S)", " ", text)
    return re.sub(r"(?<=\S) (?=\S)", "  ", text)


def wrapped(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """A line break every 60 characters, at a space; in Chinese, every 30."""
    width = _WRAPPED[language]
    lines = [_wrap(line, width, language) for line in text.split("\n")]
    return "\n".join(lines)


def paragraphs(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Every sentence a paragraph of its own."""
    sentences = [one.strip() for one in split_sentences(text)]
    return "\n\n".join(filter(None, sentences)) if not ITEM.search(text) else None


def one_line(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Line breaks become spaces."""
    return " ".join(text.split()) if "\n" in text.strip() and not ITEM.search(text) else None


def other_quotes(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Straight quotes become curly ones or the reverse; in Chinese, curly quotes become corner brackets."""
    if language == "zh":
        return text.translate(str.maketrans("“”‘’", "「」『』"))
    if re.search("[“”‘’]", text):
        return text.translate(str.maketrans("“”‘’", "\"\"''"))
    opened = re.sub(r'(?<!\S)"', "“", text)
    return re.sub(r"(?<=\w)'", "’", opened.replace('"', "”"))


def other_width(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Half-width punctuation instead of full-width; in English, no-break spaces instead of spaces."""
    return text.translate(_HALF_WIDTH) if language == "zh" else text.replace(" ", "\u00a0")


def other_bullets(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Another sign before the items of a list."""
    changed = re.sub(r"(?m)^([ \t]*)[-*•][ \t]+", lambda found: f"{found[1]}• ", text)
    if changed == text:
        changed = re.sub(r"(?m)^([ \t]*)•[ \t]+", lambda found: f"{found[1]}- ", text)
    return re.sub(r"(?m)^([ \t]*\d+)[.、]([ \t]*)(?=\S)", r"\1)\2", changed)


def no_bold(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """The signs for bold and italics are left out."""
    return re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", text)


def invisible(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """A character without width behind every tenth character."""
    return _ZERO_WIDTH.join(text[start : start + 10] for start in range(0, len(text), 10))


def quoted(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """The whole response in quotation marks."""
    body = text.strip()
    return f"“{body}”" if body and not re.search('[“”"]', body) else None


def no_last_mark(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """The full stop at the very end is left out."""
    return re.sub(r"[.。]\s*$", "", text)


def spaced_scripts(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """A space between Chinese characters and Latin letters or digits; none where there was one."""
    spaced = re.sub(r"(?<=[\u4e00-\u9fff])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[\u4e00-\u9fff])", " ", text)
    if spaced != text:
        return spaced
    return re.sub(r"(?<=[\u4e00-\u9fff]) (?=[A-Za-z0-9])|(?<=[A-Za-z0-9]) (?=[\u4e00-\u9fff])", "", text)


def _wrap(line: str, width: int, language: Language) -> str:
    if language == "zh":
        return "\n".join(line[start : start + width] for start in range(0, len(line), width))
    return (
        "\n".join(textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)) if line.strip() else line
    )
