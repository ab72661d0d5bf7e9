"""What is explained, and the units of text that it is taken apart into: tokens, words, sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Literal, Self, TypeAlias

import numpy as np

from guerdon.metrics import Floats
from guerdon.text.sentences import split_segments, split_sentences
from guerdon.text.words import split_words
from guerdon.types import Prompt, message_text, prompt_text

Part: TypeAlias = Literal["prompt", "response", "other"]
Level: TypeAlias = Literal["token", "word", "sentence"]
Span: TypeAlias = tuple[int, int]
"""First character, and the one behind the last."""


@dataclass(frozen=True, slots=True)
class Case:
    """A response whose score is explained, or two whose difference is."""

    prompt: Prompt
    response: str
    other: str | None = None
    """The response that `response` is compared with; None explains the score of `response` alone."""
    reference: str | None = None
    """For scorers that need one."""

    def text(self, part: Part) -> str:
        """The prompt as one string, or a response; empty where there is no other one."""
        return (
            prompt_text(self.prompt)
            if part == "prompt"
            else (self.response if part == "response" else self.other or "")
        )

    def swapped(self) -> Self:
        """The same case with the two responses in each other's place. Raises ValueError where there is one."""
        if self.other is None:
            raise ValueError("there is no other response to change places with")
        return replace(self, response=self.other, other=self.response)

    def without(self, units: Sequence[Unit], fill: str = "") -> Self:
        """The same case with some of its text taken away.

        Args:
            units: what goes; units of one part must not overlap.
            fill: what stands in place of each word that goes; empty leaves it out.
        """
        spans: dict[Part, list[Span]] = {"prompt": [], "response": [], "other": []}
        for unit in units:
            spans[unit.part].append((unit.start, unit.stop))
        changes: dict[str, object] = {}
        if spans["prompt"]:
            changes["prompt"] = _prompt_without(self.prompt, spans["prompt"], fill)
        for part in ("response", "other"):
            if spans[part]:
                changes[part] = text_without(self.text(part), spans[part], fill)
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a prompt or of a response."""

    part: Part
    start: int
    """First character."""
    stop: int


def cut(text: str, level: Level | Literal["segment"]) -> list[Span]:
    """Where the words, sentences or segments of a text stand; together they are the whole text.

    A segment is a sentence, or a clause of a text that has one sentence.
    """
    pieces = {"word": split_words, "sentence": split_sentences, "segment": split_segments}[level](text)
    ends = list(accumulate(map(len, pieces)))
    return list(zip([0, *ends], ends, strict=False))


def units_of(case: Case, parts: Sequence[Part], level: Literal["word", "sentence", "segment"]) -> list[Unit]:
    """The units of some parts of a case, in the order of the text."""
    found = []
    for part in parts:
        if part == "prompt":
            spans = [
                (offset + start, offset + stop)
                for offset, content in _contents(case.prompt)
                for start, stop in cut(content, level)
            ]
        else:
            spans = cut(case.text(part), level)
        found += [Unit(part, start, stop) for start, stop in spans]
    return found


def joined_units(units: Sequence[Unit], most: int) -> list[Unit]:
    """Neighbours of one part joined so that there are at most `most` units, each of as many old ones as can be."""
    count = min(most, len(units))
    edges = np.linspace(0, len(units), count + 1).round().astype(int)
    groups = [units[start:stop] for start, stop in pairwise(edges)]
    return [Unit(group[0].part, group[0].start, group[-1].stop) for group in groups]


def sum_onto(values: Floats, units: Sequence[Unit], onto: Sequence[Unit]) -> Floats:
    """The values of fine units summed over the coarser ones that their first characters stand in, shape (len(onto),).

    NaN where one of the values is. A unit that stands in none of them is left out.
    """
    found = np.zeros(len(onto))
    for part in ("prompt", "response", "other"):
        places = [place for place, unit in enumerate(onto) if unit.part == part]
        starts = np.array([onto[place].start for place in places])
        for value, unit in zip(values, units, strict=True):
            at = int(np.searchsorted(starts, unit.start, side="right")) - 1 if unit.part == part and places else -1
            if at >= 0 and unit.start < onto[places[at]].stop:
                found[places[at]] += value
    return found


def text_without(text: str, spans: Sequence[Span], fill: str = "") -> str:
    """A text without some of its characters; white space at its ends goes as well where something is left out.

    With `fill`, every word of a span is replaced by it, marks included, and the white space stays.
    """
    kept, at = [], 0
    for start, stop in sorted(spans):
        kept.append(text[at:start])
        if fill:
            kept += [fill + word[len(word.rstrip()) :] for word in split_words(text[start:stop])]
        at = stop
    return "".join([*kept, text[at:]]) if fill else "".join([*kept, text[at:]]).strip()


def _contents(prompt: Prompt) -> list[tuple[int, str]]:
    """The pieces of a prompt that somebody wrote, and where they begin in `prompt_text`: not the names of the roles."""
    if isinstance(prompt, str):
        return [(0, prompt)]
    alone = len(prompt) == 1 and prompt[0].role == "user"
    found, at = [], 0
    for message in prompt:
        whole = message_text(message)
        at += 0 if alone else len(f"{message.role}: ")
        found.append((at + whole.find(message.content), message.content))
        at += len(whole) + 1
    return found


def _prompt_without(prompt: Prompt, spans: Sequence[Span], fill: str) -> Prompt:
    if isinstance(prompt, str):
        return text_without(prompt, spans, fill)
    changed = []
    for message, (offset, content) in zip(prompt, _contents(prompt), strict=True):
        own = [(start - offset, stop - offset) for start, stop in spans if offset <= start < offset + len(content)]
        changed.append(replace(message, content=text_without(content, own, fill)) if own else message)
    return tuple(changed)
