"""Chooses the comparisons of the starter set, so that length says little about which answer is better.

An answer may be longer because it is padded or because the other one stops short. For each item there are more
comparisons with a known order than are used; the ones taken are those that keep two scores even within each subset
and part: does the longer answer win (for each kind of comparison too), and does the answer of the more usual length
win? The second matters because worse answers were written longer and shorter than the reference on purpose, so that
a reference is rarely the longest or the shortest; comparisons of worse answers make up for that as far as they can.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeAlias

from guerdon.data.starter.items import BEST_GRADE, Item
from guerdon.data.starter.operators import COMPOSES, OPERATORS, compose, composed_grade

_HAND_PAIRS = 3
"""Comparisons between two hand-written worse answers of an item."""
_DRAWS = 3
"""Tries of each operator with different random choices: other facts, other donors, other places."""
_TOLERANCE = 1
"""So far may a tally be from even before variety gives way to balance."""

_VARIETY = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose place in the order is known."""

    key: str
    """Names it within its item: `reference`, `hand-1`, `wrong-fact`, `wrong-fact+rude`."""
    text: str
    grade: float
    origin: str
    """`reference`, `hand` or `operator`."""
    fault: str
    """Empty for the reference."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to an item, the better one first."""

    item: Item
    better: Answer
    worse: Answer

    @property
    def kind(self) -> tuple[str, str]:
        """Where the two come from; length is balanced within each kind."""
        return self.better.origin, self.worse.origin

    @property
    def sign(self) -> int:
        """1 if the longer answer is the better one, -1 if the shorter one is, 0 for equal lengths (in characters)."""
        return (len(self.better.text) > len(self.worse.text)) - (len(self.better.text) < len(self.worse.text))

    @property
    def nearer(self) -> int:
        """1 if the better answer is nearer to the usual length, -1 if the worse one is, 0 if both are as near."""
        better, worse = (
            abs(math.log(len(answer.text) / self.item.usual_length)) for answer in (self.better, self.worse)
        )
        return (better < worse) - (better > worse)


Option: TypeAlias = tuple[Pair, ...]
"""Pairs that are taken together."""


@dataclass(slots=True)
class _Chosen:
    """What has been taken so far from one subset and part."""

    signs: Counter[tuple[str, str]] = field(default_factory=Counter)
    nearer: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def take(self, options: Sequence[Option], rng: random.Random) -> Option:
        """Counts and returns the option with the lowest cost; equal ones are decided by chance."""
        if not options:
            return ()
        best = min(options, key=lambda option: (self._cost(option), rng.random()))
        for pair in best:
            self.signs[pair.kind] += pair.sign
            self.nearer += pair.nearer
        self.faults.update(_faults_in(best))
        return best

    def _cost(self, option: Option) -> float:
        after = self.signs.copy()
        for pair in option:
            after[pair.kind] += pair.sign
        nearer = self.nearer + sum(pair.nearer for pair in option)
        # Squared, so that however far usual lengths are ahead, the longer answers never pay for it.
        imbalance = sum(max(0, abs(score) - _TOLERANCE) ** 2 for score in (*after.values(), after.total()))
        imbalance += max(0, abs(nearer) - _TOLERANCE)
        faults = _faults_in(option)
        return imbalance + _VARIETY * sum(self.faults[fault] for fault in faults) / max(1, len(faults))


def choose_pairs(items: Iterable[Item]) -> list[Pair]:
    """Eleven comparisons for each item, of at most eight answers, in the order of the items.

    The reference against each hand-written answer (4) and the outputs of two operators and a composition (3); an
    operator's output against its composition with another (1); hand-written answers against each other (3).
    """
    tallies: dict[tuple[str, str], _Chosen] = defaultdict(_Chosen)
    used: set[str] = set()
    pairs: list[Pair] = []
    for item in items:
        tally = tallies[item.subset, item.part]
        reference = Answer("reference", item.reference, BEST_GRADE, "reference", "")
        hand = [Answer(f"hand-{i}", w.text, w.grade, "hand", w.fault) for i, w in enumerate(item.worse, 1)]
        chosen = tally.take([tuple(Pair(item, reference, answer) for answer in hand)], _rng(item, "reference"))
        chosen += tally.take(_hand_options(item, hand), _rng(item, "hand"))
        outputs = [answer for answer in _outputs(item) if answer.text not in used]
        chosen += tally.take(_chain_options(item, reference, outputs, used), _rng(item, "chain"))
        taken = {name for fault in _faults_in(chosen) for name in fault.split("+")}
        singles = [(Pair(item, reference, answer),) for answer in outputs if answer.fault not in taken]
        chosen += tally.take(singles, _rng(item, "single"))
        used |= {pair.worse.text for pair in chosen if pair.worse.origin == "operator"}
        pairs += chosen
    return pairs


def _rng(item: Item, *purpose: object) -> random.Random:
    """Random choices that depend on the item and the purpose alone; seeding by a string is the same everywhere."""
    return random.Random("/".join(map(str, (item.id, *purpose))))


def _faults_in(option: Option) -> set[str]:
    """The operators, and compositions of operators, whose outputs an option has."""
    return {pair.worse.fault for pair in option if pair.worse.origin == "operator"}


def _hand_options(item: Item, hand: Sequence[Answer]) -> list[Option]:
    ordered = [Pair(item, better, worse) for better in hand for worse in hand if better.grade > worse.grade]
    return list(combinations(ordered, _HAND_PAIRS))


def _outputs(item: Item) -> Iterator[Answer]:
    """What each operator makes of the reference, in several draws."""
    known = {item.reference, *(worse.text for worse in item.worse)}
    for name, operator in OPERATORS.items():
        for draw in range(_DRAWS):
            text = operator.apply(item.reference, item, _rng(item, name, draw))
            if text is not None and text not in known:
                known.add(text)
                yield Answer(name, text, operator.grade, "operator", name)


def _chain_options(item: Item, reference: Answer, outputs: Sequence[Answer], used: set[str]) -> list[Option]:
    """Reference > once > twice, and reference > twice."""
    options: list[Option] = []
    for number, once in enumerate(outputs):
        for second in COMPOSES.get(once.fault, ()):
            text = compose(once.fault, second, once.text, item, _rng(item, once.fault, second, number))
            if text is not None and text not in used:
                name = f"{once.fault}+{second}"
                twice = Answer(name, text, composed_grade(once.fault, second), "operator", name)
                options.append((Pair(item, reference, once), Pair(item, once, twice), Pair(item, reference, twice)))
    return options
