"""The shortest edit that flips a preference: the fewest words of both responses that decide it.

Words are left out, or a word of the other response stands in their place; the text is scored at most some hundred
times. First each word is left out by itself. Then, in each response, the words that matter most give way to nothing, or
to one of the words that matter most in the other response: whatever brings the difference down furthest stays. Where
that is not enough, words are exchanged for others that bring more beside the rest, because what a word adds depends on
the others. Of what flips the preference, as much as can be is then put back. There may be a shorter edit: this one is
an upper bound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from guerdon.explain.target import Target
from guerdon.explain.units import Case, Part, Unit, joined_units, sum_onto, units_of
from guerdon.metrics import Floats, Ints, format_value
from guerdon.text.words import split_words

BUDGET = 200
"""Texts that are scored at most; of a judge, pairs that it judges, in both orders."""
MOST_SHARE = 0.3
"""Of the words of each response, at most so many are edited."""
_ALONE = 0.5
"""The share of the budget that goes to leaving out each word by itself; more words are joined with their neighbours."""
_STANDING_IN = 6
"""Words of the other response that are tried in place of what is edited."""
_MARKS = re.compile(r"^\W+|\W+$")
"""White space and punctuation around a word."""
RESPONSES: tuple[Part, Part] = ("response", "other")


@dataclass(frozen=True, slots=True)
class PreferenceFlip:
    """What was looked for, and what was found."""

    found: bool
    winner: Part
    """`response` or `other`: the one that wins as the two are."""
    edited: tuple[Unit, ...]
    """The words whose edit lets the other one win; of a search that failed, what it had edited at its end."""
    edited_words: Mapping[str, int]
    """`response` and `other` -> how many of their words these are."""
    in_place: Mapping[str, str]
    """`response` and `other` -> the word that stands in place of each of these; empty where they are left out."""
    words: Mapping[str, int]
    """`response` and `other` -> the number of their words."""
    before: float
    """The score of the winner less that of the other."""
    after: float
    """The same after the edit."""
    texts: Mapping[str, str]
    """`response` and `other` -> the text after it."""
    passes: int
    """Texts that were scored."""

    @property
    def share(self) -> float:
        """Words that are edited, of those of both responses."""
        return sum(self.edited_words.values()) / max(1, sum(self.words.values()))

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        names = {"response": "this response", "other": "the other response"}
        loser = names["other" if self.winner == "response" else "response"]
        parts = [part for part, count in self.edited_words.items() if count]
        edits = []
        for part in parts:
            how = f'putting "{self.in_place[part]}" in place of' if self.in_place[part] else "leaving out"
            count, words = self.edited_words[part], self.words[part]
            edits.append(f"{how} {count} of {words} words ({count / words:.0%}) of {names[part]}")
        course = f"the difference goes from {format_value(self.before, signed=True)} to "
        course += f"{format_value(self.after, signed=True)} ({self.passes} scores)."
        if not self.found:
            nearest = f" By {' and '.join(edits)}, {course}" if edits else f" {course.capitalize()}"
            return f"No edit was found that turns it round.{nearest}"
        reads = " ".join(f"{names[part].capitalize()} then reads: {self.texts[part]}" for part in parts)
        return f"By {' and '.join(edits)}, {loser} would win: {course} {reads}"


def shortest_flip(
    target: Target, case: Case, *, budget: int = BUDGET, most_share: float = MOST_SHARE
) -> PreferenceFlip | None:
    """Looks for the fewest words of both responses whose edit lets the other one win.

    Args:
        target: what prefers.
        case: two responses.
        budget: texts to be scored at most, the two as they are among them.
        most_share: words of each response that may be edited, of all that it has; at least one of the winner.

    Returns:
        None where there is no preference, or no word to edit.
    """
    margin = float(target.ask([case]).values[0])
    before = target.passes - 2
    if not margin or np.isnan(margin):
        return None
    winner: Part = "response" if margin > 0 else "other"
    won = case if margin > 0 else case.swapped()
    words = {part: units_of(won, [part], "word") for part in RESPONSES}
    if not words["response"]:
        return None
    counts = np.array([len(words[part]) for part in RESPONSES])
    cost = 1 if target.scorer is not None else 2
    pieces = np.maximum(1, budget * _ALONE / cost * counts / counts.sum()).astype(int)
    units = [joined_units(words[part], int(most)) for part, most in zip(RESPONSES, pieces, strict=True)]
    every = [*words["response"], *words["other"]]
    sizes = np.round(sum_onto(np.ones(len(every)), every, [*units[0], *units[1]])).astype(int)
    allowed = (most_share * counts).astype(int)
    allowed[0] = max(1, allowed[0])
    search = _FlipSearch(target, won, units, sizes, allowed, before + budget)
    edit, after = search.run(abs(margin))
    names = dict(zip(RESPONSES, RESPONSES if winner == "response" else RESPONSES[::-1], strict=True))
    edited = np.bincount(search.of_part[edit.places], sizes[edit.places], minlength=2).astype(int).tolist()
    reads = search.case(edit)

    def by_part(values: Sequence[Any]) -> dict[str, Any]:
        found = dict(zip(names.values(), values, strict=True))
        return {part: found[part] for part in RESPONSES}

    return PreferenceFlip(
        found=after < 0,
        winner=winner,
        edited=tuple(replace(search.units[place], part=names[search.units[place].part]) for place in edit.places),
        edited_words=by_part(edited),
        in_place=by_part([word if count else "" for word, count in zip(edit.words, edited, strict=True)]),
        words=by_part(counts.tolist()),
        before=abs(margin),
        after=after,
        texts=by_part([reads.response, str(reads.other)]),
        passes=target.passes - before,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Edit:
    """Units that are edited, those that bring most first, and the word in place of each word of them."""

    places: Ints
    words: tuple[str, str]
    """Of the winner and of the other; an empty one leaves out."""

    def toggled(self, place: int) -> _Edit:
        """The same with one unit more, or without one that it has."""
        rest = self.places[self.places != place]
        return replace(self, places=rest if len(rest) < len(self.places) else np.append(rest, place))


class _FlipSearch:
    """Edits units until the other response wins, and puts back what was not needed."""

    def __init__(
        self, target: Target, won: Case, units: Sequence[Sequence[Unit]], sizes: Ints, allowed: Ints, end: int
    ) -> None:
        self.target, self.won, self.sizes, self.allowed, self.end = target, won, sizes, allowed, end
        self.units = [*units[0], *units[1]]
        self.of_part = np.repeat([0, 1], [len(own) for own in units])
        self.cost = 1 if target.scorer is not None else 2

    def run(self, margin: float) -> tuple[_Edit, float]:
        """The edit, and the margin then."""
        nothing = _Edit(np.arange(0), ("", ""))
        falls = self._brought(nothing, margin, np.arange(len(self.units)))
        best, after = nothing, margin
        ways = list(dict.fromkeys([("", ""), self._words(falls, margin)]))
        for words in ways:
            edit, value = self._measured(self._most(falls, words))
            while words == ways[-1] and value >= 0:
                better, lower = self._exchanged(edit, value, falls)
                if lower >= value:
                    break
                edit, value = better, lower
            if value < 0:
                edit, value = self._fewest(edit, value)
            fewer = value < 0 and self._size(edit) < self._size(best)
            if fewer if after < 0 else value < after:
                best, after = edit, value
        return self._put_back(best, after) if after < 0 else (best, after)

    def case(self, edit: _Edit) -> Case:
        """The two responses after an edit."""
        found = self.won
        for part in (0, 1):
            own = edit.places[self.of_part[edit.places] == part]
            found = found.without([self.units[place] for place in own], edit.words[part])
        return found

    def _words(self, falls: Floats, margin: float) -> tuple[str, str]:
        """For each response what brings the difference down furthest in place of its words that matter most."""
        found = ["", ""]
        for part in (0, 1):
            own = self._most(np.where(self.of_part == part, falls, -np.inf), ("", ""), every=True)
            others = [place for place in np.argsort(-falls, kind="stable") if self.of_part[place] != part]
            text = self.won.text(RESPONSES[1 - part])
            pieces = (split_words(text[self.units[place].start : self.units[place].stop]) for place in others)
            words = ["", *(_MARKS.sub("", word) for piece in pieces for word in piece)]
            tried = list(dict.fromkeys(words))[: 1 + _STANDING_IN if len(own.places) else 1]
            margins = self._margins([_Edit(own.places, (word, word)) for word in tried])
            if len(margins) and margins.min() < margin:
                found[part] = tried[int(margins.argmin())]
        return found[0], found[1]

    def _most(self, values: Floats, words: tuple[str, str], *, every: bool = False) -> _Edit:
        """The units of the highest values, as many as there is room for; of those left out, with values above 0."""
        room, places = self.allowed.copy(), []
        for place in np.argsort(-values, kind="stable"):
            part = self.of_part[place]
            wanted = values[place] > (-np.inf if every or words[part] else 0)
            if wanted and self.sizes[place] <= room[part]:
                room[part] -= self.sizes[place]
                places.append(int(place))
        return _Edit(np.array(places, dtype=int), words)

    def _exchanged(self, edit: _Edit, value: float, falls: Floats) -> tuple[_Edit, float]:
        """The edit with units in it that bring more, beside the rest, than those that it had."""
        near = np.argsort(-falls, kind="stable")
        most = max(0, self._left() - 2) // 2
        weakest, others = edit.places[::-1][:most], near[~np.isin(near, edit.places)][:most]
        tried = np.concatenate([weakest, others[: len(edit.places)]])
        brought = np.where(np.isin(np.arange(len(falls)), edit.places), np.inf, -np.inf)
        brought[tried] = self._brought(edit, value, tried)
        return self._measured(self._most(brought, edit.words))

    def _brought(self, edit: _Edit, value: float, places: Ints) -> Floats:
        """How much of the margin each unit takes away by being edited, beside the rest of an edit."""
        margins = self._margins([edit.toggled(int(place)) for place in places])
        found = np.full(len(places), -np.inf)
        found[: len(margins)] = np.where(np.isin(places, edit.places), 1, -1)[: len(margins)] * (margins - value)
        return found

    def _fewest(self, edit: _Edit, value: float) -> tuple[_Edit, float]:
        """As few of the first units of an edit as still flip the preference, found by halving."""
        low, best, after = 0, edit, value
        while len(best.places) - low > 1 and self._left() >= 2:
            middle = (low + len(best.places)) // 2
            fewer, margin = self._measured(replace(edit, places=edit.places[:middle]))
            if margin < 0:
                best, after = fewer, margin
            else:
                low = middle
        return best, after

    def _put_back(self, edit: _Edit, after: float) -> tuple[_Edit, float]:
        """Puts units back, those that matter least first, as long as the other response wins."""
        while len(edit.places) > 1:
            margins = self._margins([edit.toggled(int(place)) for place in edit.places])
            if not len(margins) or margins.min() >= 0:
                break
            edit, after = edit.toggled(int(edit.places[margins.argmin()])), float(margins.min())
        return edit, after

    def _size(self, edit: _Edit) -> int:
        return int(self.sizes[edit.places].sum())

    def _left(self) -> int:
        """How many edits can still be measured."""
        return max(0, self.end - self.target.passes) // self.cost

    def _measured(self, edit: _Edit) -> tuple[_Edit, float]:
        """An edit with its margin; with one that is never chosen where there is no score, or no budget."""
        return edit, float(self._margins([edit])[0]) if self._left() >= 2 else np.inf

    def _margins(self, edits: Sequence[_Edit]) -> Floats:
        """The margins of as many edits of one response as the budget allows; infinite where there is no score."""
        found = self.target.ask([self.case(edit) for edit in edits[: self._left()]])
        return np.nan_to_num(found.values.astype(np.float64), nan=np.inf)
