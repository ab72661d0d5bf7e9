"""Changes of words: jargon, hedges, synonyms, people, mistakes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from guerdon.perturbations.additions import behind
from guerdon.perturbations.perturbation import Change, phrases, words
from guerdon.text.language import FREQUENT_WORD, Language
from guerdon.text.sentences import split_sentences

_SLIPS = 8
"""One word in so many (one character in so many Chinese ones, times two) has a mistake."""
_CORE = re.compile(r"(\s*(?:[-*•#>]+\s*|\d+[.)、]\s*)?[\"“‘(「]*)(.*?)([\s.!?。！？…”’\"')」]*)", re.DOTALL)


def replaced(name: str) -> Change:
    """Replaces every word that `words.json` has under this name."""

    def change(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
        return replace_words(text, words(name)[language], language)

    return change


def swapped(name: str, *, inside: bool = False) -> Change:
    """As `replaced`; where a text has none of the words, their counterparts are replaced by them.

    `inside` replaces only what a word follows: `it is` at the end of a sentence has no contraction.
    """

    def change(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
        mapping = words(name)[language]
        changed = replace_words(text, mapping, language, inside=inside)
        if changed == text:
            changed = replace_words(text, {other: word for word, other in mapping.items()}, language, inside=inside)
        return changed

    return change


def jargon(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Puts learned words in place of plain ones, and a learned sentence at the end."""
    changed = replace_words(text, words("jargon")[language], language)
    return behind(changed, phrases("jargon tails")[language], language) if text.strip() else None


def hedged(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Begins every sentence with `perhaps`, `it seems that` and the like."""
    return _each_sentence(text, lambda body: _led(rng.choice(phrases("hedges")[language]), body, language))


def vague(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Puts `some` in place of numbers, and ends or begins every sentence with `to some extent` and the like."""
    some = "some" if language == "en" else "若干"
    less = re.sub(r"(?m)(?<![\w.,])(?<!^)\d+(?:[.,]\d+)*(?![\w.,]*\d)(?=[\s\u4e00-\u9fff])", some, text)

    def blurred(body: str) -> str:
        phrase = rng.choice(phrases("vague")[language])
        return f"{body}, {phrase}" if language == "en" else phrase + body

    return _each_sentence(less, blurred)


def mistyped(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Mistypes one word in eight: letters swapped, dropped or doubled; in Chinese, characters swapped or confused."""
    if language == "zh":
        return _mistyped_characters(text, rng)
    pieces = re.split(r"([A-Za-z]{4,})", text)
    places = range(1, len(pieces), 2)
    for place in rng.sample(places, min(len(places), 1 + len(places) // _SLIPS)):
        word = pieces[place]
        at = rng.randrange(1, len(word) - 2)
        slip = rng.choice(("swap", "drop", "double"))
        middle = {"swap": word[at + 1] + word[at], "drop": word[at + 1], "double": word[at] * 2 + word[at + 1]}[slip]
        pieces[place] = word[:at] + middle + word[at + 2 :]
    return "".join(pieces)


def _mistyped_characters(text: str, rng: random.Random) -> str:
    confused = words("confusions")["zh"]
    letters = list(text)
    places = [place for place in range(len(letters) - 1) if _chinese(letters[place]) and _chinese(letters[place + 1])]
    for place in sorted(rng.sample(places, min(len(places), 1 + len(places) // (2 * _SLIPS)))):
        if letters[place] in confused:
            letters[place] = confused[letters[place]]
        else:
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def lower_case(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Writes everything in small letters."""
    return text.lower()


def shouting(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Writes one sentence in three in capitals."""
    sentences = split_sentences(text)
    loud = set(rng.sample(range(len(sentences)), 1 + len(sentences) // 3)) if sentences else set()
    return "".join(one.upper() if place in loud else one for place, one in enumerate(sentences))


def shuffled(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Shuffles the words of every sentence; of Chinese ones, pieces of two characters."""

    def mixed(body: str) -> str:
        pieces = body.split(" ") if language == "en" else re.findall(r"[A-Za-z0-9.:%]+|[^A-Za-z0-9]{1,2}", body)
        return (" " if language == "en" else "").join(rng.sample(pieces, len(pieces)))

    return _each_sentence(text, mixed)


def cut_off(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Breaks off in the middle of its last sentence."""
    sentences = split_sentences(text)
    if not sentences:
        return None
    last = sentences[-1].rstrip()
    pieces = last.split(" ") if language == "en" else list(last)
    kept = (" " if language == "en" else "").join(pieces[: len(pieces) // 2])
    return ("".join(sentences[:-1]) + kept).rstrip() or None


def spelt_numbers(text: str, asked: str, language: Language, rng: random.Random) -> str | None:
    """Writes small numbers as words; not where there is arithmetic."""
    if re.search(r"[=+×÷]", text):
        return None
    numbers = words("numbers")[language]
    pattern = r"(?<![\w.,:/$£€¥%-])(?:{})(?![.)、:/%-]|[.,]?\w|年|月|日|号|点)"
    if language == "zh":
        pattern = r"(?<![0-9A-Za-z.,:/$¥%-])(?:{})(?![0-9A-Za-z.)、:/%-]|[年月日号点])"
        text = re.sub(r"(?<![\d.,])2(?=[个位种次天条只件本张名])", "两", text)
    found = pattern.format("|".join(sorted(numbers, key=len, reverse=True)))
    return re.sub(found, lambda number: numbers[number[0]], text)


def replace_words(text: str, mapping: dict[str, str], language: Language, *, inside: bool = False) -> str:
    """Every word of a mapping by its other word, all at once; `a` and `an` go with it, and so do capitals."""
    keys = "|".join(map(re.escape, sorted(mapping, key=len, reverse=True)))
    if language == "zh":
        return re.sub(keys, lambda found: mapping[found[0]], text)
    lower = {key.lower(): value for key, value in mapping.items()}

    def other(found: re.Match[str]) -> str:
        article, word = found[1] or "", found[2]
        new = mapping.get(word) or lower[word.lower()]
        if word[0].isupper() and not (article and article[0].isupper()):
            new = new[0].upper() + new[1:]
        if article:
            article = article[0] + ("n " if new[0].lower() in "aeiou" else " ")
        return article + new

    # Names and titles are replaced as they are written; other words in any case.
    flags = re.NOFLAG if all(key[0].isupper() for key in mapping) else re.IGNORECASE
    end = r"(?= \w)" if inside else r"(?![\w'’-])"
    return re.sub(rf"(?<![\w'’-])([Aa]n? )?({keys}){end}", other, text, flags=flags)


def _each_sentence(text: str, change: Callable[[str], str]) -> str:
    """Changes what a sentence has between marks of lists and quotes and its closing punctuation."""
    parts = []
    for sentence in split_sentences(text):
        found = _CORE.fullmatch(sentence)
        assert found is not None
        parts.append(found[1] + change(found[2]) + found[3] if any(map(str.isalpha, found[2])) else sentence)
    return "".join(parts)


def _led(phrase: str, body: str, language: Language) -> str:
    if language == "zh":
        return phrase + body
    first = body.split(" ", 1)[0]
    small = first != "I" and FREQUENT_WORD.fullmatch(first)  # a name keeps its capital
    comma = "" if phrase.endswith("that") else ","
    return f"{phrase}{comma} {body[:1].lower() + body[1:] if small else body}"


def _chinese(letter: str) -> bool:
    return "\u4e00" <= letter <= "\u9fff"
