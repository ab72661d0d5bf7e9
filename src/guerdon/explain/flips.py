"""The shortest edit that flips a preference: the fewest words of the winner without which the other response wins.

The search scores at most some hundred texts. Words are left out one by one, and those without which the score falls
most go first; what is left is measured again as often as the budget allows, because what a word adds depends on the
others. Of what flips the preference, every word that is not needed is then put back. There may be a shorter edit: this
one is an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from guerdon.explain.removal import Game
from guerdon.explain.target import Target
from guerdon.explain.units import Case, Part, Unit, joined_units, sum_onto, units_of
from guerdon.metrics import Floats, Ints, format_value

BUDGET = 200
"""Texts that are scored at most."""
MOST_SHARE = 0.3
"""Of the words of the winner, at most so many are left out."""
_SEARCH = 0.8
"""The share of the budget that looks for a flip; the rest puts words back."""
_FEWEST = 12
"""Units that are measured again in each round, at least."""


@dataclass(frozen=True, slots=True)
class PreferenceFlip:
    """What was looked for, and what was found."""

    found: bool
    winner: Part
    """`response` or `other`: the one that words are left out of."""
    removed: tuple[Unit, ...]
    """The words without which the other one wins; of a search that failed, what it had left out at its end."""
    removed_words: int
    words: int
    """Words of the winner."""
    before: float
    """The score of the winner less that of the other."""
    after: float
    """The same without the words."""
    text: str
    """The winner without them."""
    passes: int
    """Texts that were scored."""

    @property
    def share(self) -> float:
        """Words that are left out, of those of the winner."""
        return self.removed_words / max(1, self.words)

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        which, other = (
            ("this response", "the other") if self.winner == "response" else ("the other response", "this one")
        )
        edit = f"{self.removed_words} of {self.words} words ({self.share:.0%}) of {which}"
        course = f"the difference goes from {format_value(self.before, signed=True)} to "
        course += format_value(self.after, signed=True)
        if not self.found:
            return f"No edit was found that turns it round: without {edit} {course} ({self.passes} scores)."
        return f"Without {edit}, {other} would win: {course} ({self.passes} scores). It then reads: {self.text}"


def shortest_flip(
    target: Target, case: Case, *, budget: int = BUDGET, most_share: float = MOST_SHARE
) -> PreferenceFlip | None:
    """Looks for the fewest words of the winner without which the other response wins.

    Args:
        target: what prefers.
        case: two responses.
        budget: texts to be scored at most, the two as they are among them.
        most_share: words that may be left out, of those of the winner.

    Returns:
        None where there is no preference, or no word to leave out.
    """
    margin = float(target.ask([case]).values[0])
    if not margin or np.isnan(margin):
        return None
    winner: Part = "response" if margin > 0 else "other"
    won = case if margin > 0 else case.swapped()
    words = units_of(won, ["response"], "word")
    if not words:
        return None
    game = Game(target, won, tuple(joined_units(words, max(1, int(budget * _SEARCH / 2)))))
    sizes = np.round(sum_onto(np.ones(len(words)), words, game.units)).astype(int)
    search = _FlipSearch(game, sizes, budget, max(1, int(most_share * len(words))))
    there, after = search.run(abs(margin))
    removed = [unit for unit, kept in zip(game.units, there, strict=True) if not kept]
    return PreferenceFlip(
        found=after < 0,
        winner=winner,
        removed=tuple(replace(unit, part=winner) for unit in removed),
        removed_words=int(sizes[~there].sum()),
        words=len(words),
        before=abs(margin),
        after=after,
        text=won.without(removed).response,
        passes=search.passes,
    )


class _FlipSearch:
    """Leaves units of the winner out until the other response wins, and puts back what was not needed."""

    def __init__(self, game: Game, sizes: Ints, budget: int, allowed: int) -> None:
        self.game, self.sizes, self.budget, self.allowed = game, sizes, budget, allowed
        self.passes = 2  # the two responses as they are

    def run(self, margin: float) -> tuple[np.ndarray, float]:
        """Which units are there in the end, bool, shape (units,), and the margin then."""
        there, after = np.ones(len(self.sizes), dtype=bool), margin
        search = int(self.budget * _SEARCH)
        candidates = np.arange(len(self.sizes))
        # All units once, then only the most promising ones, as many times as the budget allows.
        pool = max(_FEWEST, self.allowed)
        rounds = 1 + max(0, (search - len(candidates)) // pool)
        step = max(1, math.ceil(self.allowed / rounds))
        while after >= 0 and self.passes < search:
            room = self.allowed - int(self.sizes[~there].sum())
            candidates = candidates[there[candidates] & (self.sizes[candidates] <= room)][: self.budget - self.passes]
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

    def _several(self, there: np.ndarray, candidates: Ints, room: int) -> tuple[list[int], float]:
        """As many of the candidates as there is room for, left out together, and the margin then."""
        fit = candidates[np.cumsum(self.sizes[candidates]) <= room]
        chosen = [int(place) for place in fit] or [int(candidates[0])]
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
