"""Corruption operators: what makes an answer worse beyond dispute.

An operator is a pure function `(text, item, rng) -> text | None`: it breaks one thing in `text`, an answer to `item`,
draws its choices from `rng` alone, and returns None where it does not apply. Each says what it breaks and why nobody
would prefer the result. Applied to what another operator has broken already, it makes that worse once more, so
reference > a(reference) > b(a(reference)) is an order known by construction; `COMPOSES` says which go together.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from guerdon.data.starter.items import Item, phrases_for
from guerdon.data.starter.segments import (
    function_bodies,
    indent_of,
    parses,
    put_after,
    put_before,
    sentences,
    statement_lines,
)

Apply: TypeAlias = Callable[[str, Item, random.Random], str | None]

_NEVER_INSULTED = frozenset({"dialogue-en-010", "dialogue-zh-010"})
"""Users who may be about to end their lives: nobody should read an insult to them, not even as a bad example."""
_HEDGES = {
    "dialogue": "opinions",
    "question-answering": "opinions",
    "summarisation": "summaries",
    "translation": "translations",
    "code": "programs",
}
"""Task -> the bank of sentences that commit themselves to nothing."""


def wrong_fact(text: str, item: Item, rng: random.Random) -> str | None:
    """Replaces one fact of a prose answer (a number, name, date, direction, negation) by a wrong one.

    Worse: all else is the same, and what was true, or was in the source, no longer is. Length: about the same.
    """
    return None if item.task == "code" else _with_a_wrong_fact(text, item, rng)


def buggy_code(text: str, item: Item, rng: random.Random) -> str | None:
    """Makes one small edit to code after which its unit tests fail.

    Worse: the function no longer does what was asked. Length: about the same.
    """
    return _with_a_wrong_fact(text, item, rng) if item.task == "code" else None


def off_topic(text: str, item: Item, rng: random.Random) -> str | None:
    """Gives the reference of another item of the same task, language and part.

    Worse: a good answer to another question leaves this one unanswered. Length: any.
    """
    return rng.choice(item.elsewhere) if item.elsewhere else None


def padded(text: str, item: Item, rng: random.Random) -> str | None:
    """Weaves in two or three empty sentences; into code, empty comments.

    Worse: it says the same and takes longer to read. Length: longer.
    """
    if item.task == "code":
        return _with_comments(text, item, rng)
    fillers = rng.sample(phrases_for(item.part, item.language, "fillers"), rng.choice((2, 3)))
    parts = sentences(text)
    # Behind the greeting of a letter, which ends in a comma or colon, no sentence fits.
    places = [-1, *(i for i, part in enumerate(parts) if part.strip() and part.strip()[-1] not in ",:，：")]
    for filler in fillers:
        place = rng.choice(places)
        if place < 0:
            parts[0] = put_before(parts[0], filler, item.language)
        else:
            parts[place] = put_after(parts[place], filler, item.language)
    return "".join(parts)


def rude(text: str, item: Item, rng: random.Random) -> str | None:
    """Opens or closes the answer, or both, with an insult to the reader; in code, as comments.

    Worse: it says the same and offends. Length: longer.
    """
    if item.id in _NEVER_INSULTED:
        return None
    opening = rng.choice(phrases_for(item.part, item.language, "rude-openings"))
    closing = rng.choice(phrases_for(item.part, item.language, "rude-closings"))
    where = rng.choice(("before", "after", "both"))
    mark = "# " if "def " in text else ""
    apart = "\n" in text
    if where != "after":
        text = f"{mark}{opening}\n{text}" if apart else put_before(text, opening, item.language)
    if where != "before":
        text = f"{text}\n{mark}{closing}" if apart else put_after(text, closing, item.language)
    return text


def untranslated(text: str, item: Item, rng: random.Random) -> str | None:
    """Leaves the latter part of a translation in the language of the source.

    Worse: whoever needs a translation cannot read that part. Length: longer into Chinese, shorter into English.
    """
    if item.source is None:
        return None
    done, source = sentences(text), sentences(item.source)
    if len(done) < 2 or len(source) < 2:
        done, source = _clauses(text), _clauses(item.source)
    if len(done) < 2 or len(source) < 2:
        return None
    kept = rng.randrange(1, len(done))
    skipped = min(max(round(kept / len(done) * len(source)), 1), len(source) - 1)
    return "".join(done[:kept]).rstrip(" ") + " " + "".join(source[skipped:])


def wrong_language(text: str, item: Item, rng: random.Random) -> str | None:
    """Answers in the other language where there is a parallel text: echoes the source of a translation.

    Worse: nothing has been translated. Length: longer into Chinese, shorter into English.
    """
    return item.source


def truncated(text: str, item: Item, rng: random.Random) -> str | None:
    """Stops in the middle of a sentence, after 40 to 80 % of the text; of code, where Python cannot parse it.

    Worse: the rest is missing, and code does not run. Length: shorter.
    """
    places = range(round(0.4 * len(text)), round(0.8 * len(text)))
    cuts = (text[:place] for place in rng.sample(places, len(places)) if _inside_a_sentence(text, place))
    if item.task == "code":
        cuts = (cut for cut in cuts if not parses(cut))
    return next(cuts, None)


def repeated(text: str, item: Item, rng: random.Random) -> str | None:
    """Says one sentence of a prose answer twice, the second time right after the first or at the end.

    Worse: it says the same and takes longer to read. Length: longer.
    """
    parts = sentences(text)
    places = [i for i, part in enumerate(parts) if len(part.strip()) >= 8]
    if item.task == "code" or not places:
        return None
    place = rng.choice(places)
    copy = parts[place].strip()
    after = rng.choice((place, len(parts) - 1))
    if "\n" in text:
        body = parts[after].rstrip()
        parts[after] = body + "\n" + copy + parts[after][len(body) :]
    else:
        parts[after] = put_after(parts[after], copy, item.language)
    return "".join(parts)


def shuffled(text: str, item: Item, rng: random.Random) -> str | None:
    """Breaks the order: of the words in the longest sentence; of the lines of code, so that Python cannot parse it.

    Worse: the sentence makes no sense, the code does not run. Length: the same.
    """
    if item.task == "code":
        return _with_shuffled_lines(text, rng)
    parts = sentences(text)
    longest = max(range(len(parts)), key=lambda i: len(parts[i]))
    before, core, after = _shell(parts[longest])
    words = core.split(" ") if item.language == "en" else _chinese_pieces(core)
    mixed = rng.sample(words, len(words))
    if len(set(words)) < 5 or mixed == words:
        return None
    parts[longest] = before + (" " if item.language == "en" else "").join(mixed) + after
    return "".join(parts)


def hedged(text: str, item: Item, rng: random.Random) -> str | None:
    """Puts two to four noncommittal sentences in place of the answer.

    Worse: it answers nothing. Length: any.
    """
    bank = phrases_for(item.part, item.language, _HEDGES[item.task])
    return (" " if item.language == "en" else "").join(rng.sample(bank, rng.choice((2, 2, 3, 4))))


def commented_out(text: str, item: Item, rng: random.Random) -> str | None:
    """Turns the body of every function into comments, so that it returns None.

    Worse: it does nothing, and its tests fail. Length: longer.
    """

    def dead(body: list[str], indent: str) -> list[str]:
        return [*(indent + ("# " + line[len(indent) :]).rstrip() for line in body), indent + "pass"]

    return _with_other_bodies(text, item, dead)


def empty_body(text: str, item: Item, rng: random.Random) -> str | None:
    """Leaves the signature (and docstring) of every function and a stub as its body.

    Worse: it does nothing, and its tests fail. Length: mostly shorter.
    """

    def stub(body: list[str], indent: str) -> list[str]:
        comment = rng.choice(phrases_for(item.part, item.language, "stub-comments"))
        stub = rng.choice(("pass", "...", "return None", "raise NotImplementedError"))
        return rng.choice(([indent + stub], [f"{indent}# {comment}", indent + stub]))

    return _with_other_bodies(text, item, stub)


def _with_other_bodies(text: str, item: Item, other: Callable[[list[str], str], list[str]]) -> str | None:
    """Code with other bodies of its functions, each from its lines and its indent; None where there are none."""
    lines = text.split("\n")
    bodies = function_bodies(text) if item.task == "code" else []
    for body in reversed(bodies):
        lines[body.start : body.stop] = other(lines[body.start : body.stop], indent_of(lines[body.start]))
    return "\n".join(lines) if bodies else None


class Operator(NamedTuple):
    """An operator and what it leaves of a perfect answer."""

    grade: int
    """Grade of the result when the reference was put in (grade 4), on the scale of the hand-written answers."""
    apply: Apply


OPERATORS: Mapping[str, Operator] = {
    "wrong-fact": Operator(2, wrong_fact),
    "buggy-code": Operator(1, buggy_code),
    "off-topic": Operator(0, off_topic),
    "padded": Operator(3, padded),
    "rude": Operator(2, rude),
    "untranslated": Operator(1, untranslated),
    "wrong-language": Operator(0, wrong_language),
    "truncated": Operator(2, truncated),
    "repeated": Operator(3, repeated),
    "shuffled": Operator(1, shuffled),
    "hedged": Operator(1, hedged),
    "commented-out": Operator(0, commented_out),
    "empty-body": Operator(0, empty_body),
}

COMPOSES: Mapping[str, tuple[str, ...]] = {
    "wrong-fact": ("wrong-fact", "padded", "rude", "repeated", "shuffled", "truncated"),
    "padded": ("wrong-fact", "buggy-code", "rude", "repeated", "shuffled", "truncated"),
    "rude": ("wrong-fact", "buggy-code", "padded", "repeated", "shuffled", "truncated"),
    "repeated": ("wrong-fact", "padded", "rude", "shuffled", "truncated"),
    "truncated": ("wrong-fact", "shuffled"),
    "untranslated": ("wrong-fact", "padded", "rude"),
    "buggy-code": ("padded", "rude", "shuffled"),
    "shuffled": ("rude",),
    "hedged": ("rude",),
}
"""First operator -> the second ones whose fault adds to the first one's. Left out is what may hide the first fault or
make up for it: two bugs may cancel out, and an off-topic answer is no worse for a wrong fact before it."""


def compose(first: str, second: str, once: str, item: Item, rng: random.Random) -> str | None:
    """Applies `second` to `once`, which is `first` of the reference; None where it does not apply.

    A cut may take the first fault away, or nothing but padding: it must leave more than a plain beginning of the
    reference, and less than all of it.
    """
    if second not in COMPOSES.get(first, ()):
        return None
    twice = OPERATORS[second].apply(once, item, rng)
    if twice is None or twice == once or item.reference.startswith(twice):
        return None
    lost = sentences(item.reference)[-1].strip() not in twice
    return twice if lost or second != "truncated" else None


def composed_grade(first: str, second: str) -> float:
    """Each operator leaves its share (grade / 4) of what it was given."""
    return OPERATORS[first].grade * OPERATORS[second].grade / 4


def _with_a_wrong_fact(text: str, item: Item, rng: random.Random) -> str | None:
    # A wrong fact may contain the right one ("4 hours", "14 hours"): what has been replaced already is left alone.
    usable = [
        (right, wrong)
        for right, wrong in item.facts
        if text.count(right) == 1 and not (right in wrong and wrong in text)
    ]
    return text.replace(*rng.choice(usable)) if usable else None


def _with_comments(text: str, item: Item, rng: random.Random) -> str | None:
    """Comments before a few statements."""
    places = statement_lines(text)
    if not places:
        return None
    lines = text.split("\n")
    places = sorted(rng.sample(places, min(len(places), rng.choice((2, 3, 4)))), reverse=True)
    bank = phrases_for(item.part, item.language, "code-fillers")
    for place, comment in zip(places, rng.sample(bank, len(places)), strict=True):
        lines.insert(place, f"{indent_of(lines[place])}# {comment}")
    return "\n".join(lines)


def _with_shuffled_lines(text: str, rng: random.Random) -> str | None:
    """The lines of the first function's body in an order that cannot be parsed; None if 20 tries find no such order."""
    bodies = function_bodies(text)
    if not bodies:
        return None
    lines = text.split("\n")
    body = lines[bodies[0].start : bodies[0].stop]
    for _ in range(20):
        mixed = "\n".join([*lines[: bodies[0].start], *rng.sample(body, len(body)), *lines[bodies[0].stop :]])
        if not parses(mixed):
            return mixed
    return None


def _clauses(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[,;:—] )|(?<=[，；：])", text) if part]


def _shell(sentence: str) -> tuple[str, str, str]:
    """List marks and opening quotes, what is between, and the closing punctuation of a sentence."""
    match = re.fullmatch(r"((?:[-*•] |\d{1,2}[.、] ?)?[\"“‘]?)(.*?)([\s.!?。！？”’\"']*)", sentence, re.DOTALL)
    return (match[1], match[2], match[3]) if match else ("", sentence, "")


def _chinese_pieces(text: str) -> list[str]:
    """Numbers and Latin words whole, all else in pieces of two characters: about the length of a Chinese word."""
    return re.findall(r"[A-Za-z0-9.:%℃]+|[^A-Za-z0-9]{1,2}", text)


def _inside_a_sentence(text: str, place: int) -> bool:
    """Whether a cut before this character falls between two words (English) or characters (Chinese) of a sentence."""
    before, after = text[place - 1], text[place]
    if "\u4e00" <= before <= "\u9fff":
        return "\u4e00" <= after <= "\u9fff"
    return before.isalnum() and after == " "
