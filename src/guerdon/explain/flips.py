"""The shortest edit that flips a preference: the fewest words of both responses without which the other one wins.

The search scores at most some hundred texts. Words are left out one by one, of the winner those that speak for it, of
the other response those that speak against it; those without which the difference falls most go first. What is left is
measured again as often as the budget allows, because what a word adds depends on the others. Of what flips the
preference, every word that is not needed is then put back. There may be a shorter edit: this one is an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from guerdon.explain.removal import Game
from guerdon.explain.target import Target
from guerdon.explain.units import Case, Part, Unit, joined_units, sum_onto, units_of
from guerdon.metrics import Floats, Ints, format_value

BUDGET = 200
"""Texts that are scored at most."""
MOST_SHARE = 0.3
"""Of the words of each response, at most so many are left out."""
_SEARCH = 0.8
"""The share of the budget that looks for a flip; the rest puts words back."""
_FEWEST = 12
"""Units that are measured again in each round, at least."""
RESPONSES: tuple[Part, Part] = ("response", "other")


@dataclass(frozen=True, slots=True)
class PreferenceFlip:
    """What was looked for, and what was found."""

    found: bool
    winner: Part
    """`response` or `other`: the one that wins as the two are."""
    removed: tuple[Unit, ...]
    """The words without which the other one wins; of a search that failed, what it had left out at its end."""
    removed_words: Mapping[str, int]
    """`response` and `other` -> how many of their words these are."""
    words: Mapping[str, int]
    """`response` and `other` -> the number of their words."""
    before: float
    """The score of the winner less that of the other."""
    after: float
    """The same without the words."""
    texts: Mapping[str, str]
    """`response` and `other` -> the text without them."""
    passes: int
    """Texts that were scored."""

    @property
    def share(self) -> float:
        """Words that are left out, of those of both responses."""
        return sum(self.removed_words.values()) / max(1, sum(self.words.values()))

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        names = {"response": "this response", "other": "the other response"}
        loser = names["other" if self.winner == "response" else "response"]
        edit = " and ".join(
            f"{count} of {self.words[part]} words ({count / self.words[part]:.0%}) of {names[part]}"
            for part, count in self.removed_words.items()
            if count
        )
        course = f"the difference goes from {format_value(self.before, signed=True)} to "
        course += f"{format_value(self.after, signed=True)} ({self.passes} scores)."
        if not self.found:
            return f"No edit was found that turns it round: {f'without {edit} {course}' if edit else course}"
        reads = " ".join(
            f"{names[part].capitalize()} then reads: {self.texts[part]}"
            for part, count in self.removed_words.items()
            if count
        )
        return f"Without {edit}, {loser} would win: {course} {reads}"


def shortest_flip(
    target: Target, case: Case, *, budget: int = BUDGET, most_share: float = MOST_SHARE
) -> PreferenceFlip | None:
    """Looks for the fewest words of both responses without which the other one wins.

    Args:
        target: what prefers.
        case: two responses.
        budget: texts to be scored at most, the two as they are among them.
        most_share: words of each response that may be left out, of all that it has; at least one of the winner.

    Returns:
        None where there is no preference, or no word to leave out.
    """
    margin = float(target.ask([case]).values[0])
    if not margin or np.isnan(margin):
        return None
    winner: Part = "response" if margin > 0 else "other"
    won = case if margin > 0 else case.swapped()
    words = {part: units_of(won, [part], "word") for part in RESPONSES}
    if not words["response"]:
        return None
    counts = np.array([len(words[part]) for part in RESPONSES])
    pieces = np.maximum(1, budget * _SEARCH / 2 * counts / counts.sum()).astype(int)
    units = [joined_units(words[part], int(most)) for part, most in zip(RESPONSES, pieces, strict=True)]
    of_part = np.repeat([0, 1], [len(own) for own in units])
    game = Game(target, won, (*units[0], *units[1]))
    every = [*words["response"], *words["other"]]
    sizes = np.round(sum_onto(np.ones(len(every)), every, game.units)).astype(int)
    allowed = (most_share * counts).astype(int)
    allowed[0] = max(1, allowed[0])
    search = _FlipSearch(game, sizes, of_part, budget, allowed)
    there, after = search.run(abs(margin))
    removed = [unit for unit, kept in zip(game.units, there, strict=True) if not kept]
    names = dict(zip(RESPONSES, RESPONSES if winner == "response" else RESPONSES[::-1], strict=True))
    left_out = np.bincount(of_part[~there], sizes[~there], minlength=2).astype(int).tolist()
    edited = won.without(removed)

    def by_part(values: Sequence[Any]) -> dict[str, Any]:
        found = dict(zip(names.values(), values, strict=True))
        return {part: found[part] for part in RESPONSES}

    return PreferenceFlip(
        found=after < 0,
        winner=winner,
        removed=tuple(replace(unit, part=names[unit.part]) for unit in removed),
        removed_words=by_part(left_out),
        words=by_part(counts.tolist()),
        before=abs(margin),
        after=after,
        texts=by_part([edited.response, str(edited.other)]),
        passes=search.passes,
    )


class _FlipSearch:
    """Leaves units out until the other response wins, and puts back what was not needed."""

    def __init__(self, game: Game, sizes: Ints, of_part: Ints, budget: int, allowed: Ints) -> None:
        self.game, self.sizes, self.of_part, self.budget, self.allowed = game, sizes, of_part, budget, allowed
        self.passes = 2  # the two responses as they are

    def run(self, margin: float) -> tuple[np.ndarray, float]:
        """Which units are there in the end, bool, shape (units,), and the margin then."""
        there, after = np.ones(len(self.sizes), dtype=bool), margin
        search = int(self.budget * _SEARCH)
        candidates = np.arange(len(self.sizes))
        # All units once, then only the most promising ones, as many times as the budget allows.
        pool = max(_FEWEST, int(self.allowed.sum()))
        rounds = 1 + max(0, (search - len(candidates)) // pool)
        step = max(1, math.ceil(self.allowed.sum() / rounds))
        while after >= 0 and self.passes < search:
            room = self.allowed - np.bincount(self.of_part[~there], self.sizes[~there], minlength=2)
            fits = there[candidates] & (self.sizes[candidates] <= room[self.of_part[candidates]])
            candidates = candidates[fits][: self.budget - self.passes]
            if not len(candidates):
                break
            margins = self._margins([_without(there, [int(place)]) for place in candidates])
            order = np.argsort(margins, kind="stable")
            candidates, margins = candidates[order], margins[order]
            if margins[0] >= after:  # nothing helps any more
                break
            chosen, value = [int(candidates[0])], float(margins[0])
            if value >= 0:
                chosen, value = self._several(there, candidates[(margins < after)][:step], room)
            there, after = _without(there, chosen), value
            candidates = candidates[: pool + len(chosen)]
        return self._put_back(there, after) if after < 0 else (there, after)

    def _several(self, there: np.ndarray, candidates: Ints, room: Ints) -> tuple[list[int], float]:
        """As many of the candidates as there is room for, left out together, and the margin then."""
        chosen: list[int] = []
        left = room.copy()
        for place in candidates.tolist():
            if self.sizes[place] <= left[self.of_part[place]]:
                left[self.of_part[place]] -= self.sizes[place]
                chosen.append(place)
        return chosen, float(self._margins([_without(there, chosen)])[0])

    def _put_back(self, there: np.ndarray, after: float) -> tuple[np.ndarray, float]:
        """Puts units back, those that matter least first, as long as the other response wins."""
        while self.passes < self.budget:
            gone = np.flatnonzero(~there)[: self.budget - self.passes]
            if len(gone) < 2:
                break
            margins = self._margins([_with(there, place) for place in gone])
            best = int(np.argmin(margins))
            if margins[best] >= 0:
                break
            there, after = _with(there, int(gone[best])), float(margins[best])
        return there, after

    def _margins(self, sets: Sequence[np.ndarray]) -> Floats:
        """The margin of each set of units; where there is no score, one that is never chosen."""
        self.passes += len(sets)
        return np.nan_to_num(self.game.values(np.array(sets)), nan=np.inf)


def _without(there: np.ndarray, places: Sequence[int]) -> np.ndarray:
    found = there.copy()
    found[list(places)] = False
    return found


def _with(there: np.ndarray, place: int) -> np.ndarray:
    found = there.copy()
    found[place] = True
    return found
