"""Draws the matched pairs of an audit, and asks a system about all of them at once."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from guerdon.evaluate.audit.bias_lines import LineMargins, MatchedPairs
from guerdon.evaluate.audit.natural_pairs import NaturalPair, NaturalPairs
from guerdon.evaluate.result_tables import Requests
from guerdon.evaluate.systems import System, SystemOutput, ask
from guerdon.metrics import Floats, Ints
from guerdon.perturbations.perturbation import Perturbation


@dataclass(frozen=True, slots=True, eq=False)
class PairedRequests:
    """Pairs of requests as `guerdon.evaluate.systems.ask` takes them."""

    requests: Ints
    better: Ints
    worse: Ints


@dataclass(slots=True)
class Questions:
    """Everything that a system is to be asked, each text once."""

    requests: Requests = field(default_factory=dict)
    asked: list[PairedRequests] = field(default_factory=list)

    def add(self, prompted: Iterable[NaturalPair], pairs: Iterable[tuple[str, str]]) -> PairedRequests:
        """Adds pairs of responses to the prompts of natural pairs, k of each."""
        numbers = [
            self.requests.setdefault((one.prompt, text, one.reference), len(self.requests))
            for one, pair in zip(prompted, pairs, strict=True)
            for text in pair
        ]
        items = np.arange(len(numbers))
        self.asked.append(PairedRequests(np.array(numbers, dtype=np.int64), items[::2], items[1::2]))
        return self.asked[-1]

    def mix(self, seed: int) -> None:
        """Puts the texts in random order: no change then stands alone among what is asked at a time."""
        order = np.random.default_rng(seed).permutation(len(self.requests))
        texts = list(self.requests)
        self.requests = {texts[place]: number for number, place in enumerate(order.tolist())}
        for one in self.asked:
            one.requests[:] = np.argsort(order)[one.requests]


def matched_pairs(one: Perturbation, pairs: NaturalPairs, limit: int, seed: int) -> MatchedPairs:
    """The first pairs that can be changed, `limit` of them at most.

    What is changed is the response that people liked less: then it can also be told whether the change makes it win. A
    change that keeps the meaning is made to both, and where it does nothing to the worse one, the other is matched.
    """
    places: list[int] = []
    changed, control, both = [], [], []
    for place, (prompt, better, worse, _) in enumerate(pairs.pairs):
        if len(places) == limit:
            break
        found = one.apply(prompt, worse, seed=seed)
        after = better, found.changed if found else worse
        if one.same_meaning and better != worse:
            other = one.apply(prompt, better, seed=seed)
            after = other.changed if other else better, after[1]
            found = found or other
        if found is not None:
            places.append(place)
            changed.append(found.changed)
            control.append(found.control)
            both.append(after)
    after_all = () if one.control is not None else tuple(both)
    return MatchedPairs(one, np.array(places, dtype=np.int64), tuple(changed), tuple(control), after_all)


def as_many_as(
    lines: Sequence[MatchedPairs], pairs: NaturalPairs, most: float, least: int, *, scorer: bool
) -> list[MatchedPairs]:
    """The first pairs of every line, so many that no more than `most` texts (for a comparer, pairs) are asked about.

    At least `least` pairs of every line stay, whatever is asked then.
    """

    def asked(count: int) -> int:
        questions, _ = _questions([line.first(count) for line in lines], pairs)
        return len(questions.requests) if scorer else sum(len(one.better) for one in questions.asked)

    longest = max((len(line.places) for line in lines), default=0)
    counts = range(least, longest + 1)
    fitting = longest if asked(longest) <= most else least + max(0, bisect.bisect_right(counts, most, key=asked) - 1)
    return [line.first(fitting) for line in lines]


def _questions(
    lines: Sequence[MatchedPairs], pairs: NaturalPairs
) -> tuple[Questions, list[tuple[PairedRequests, PairedRequests, PairedRequests | None]]]:
    """Everything to be asked about lines, and of each line the matched pairs, the natural ones before, and after."""
    questions, of_lines = Questions(), []
    for line in lines:
        own = [pairs.pairs[place] for place in line.places.tolist()]
        of_lines.append(
            (
                questions.add(own, zip(line.changed, line.control, strict=True)),
                questions.add(own, ((one.better, one.worse) for one in own)),
                questions.add(own, line.both) if line.both else None,
            )
        )
    return questions, of_lines


def ask_about(
    system: System,
    pairs: NaturalPairs,
    lines: Sequence[MatchedPairs],
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[LineMargins], int]:
    """The margins of all lines, and how many texts (for a comparer, pairs) were asked about."""
    questions, of_lines = _questions(lines, pairs)
    questions.mix(seed)
    output = ask(system, questions.requests, questions.asked, seed=seed, progress=progress)
    empty = np.zeros(0)
    margins = [
        LineMargins(output.margins(own), output.margins(before), empty if after is None else output.margins(after))
        for own, before, after in of_lines
    ]
    return margins, asked_count(output)


@dataclass(frozen=True, slots=True, eq=False)
class NaturalAnswers:
    """What a system says of natural pairs."""

    margins: Floats
    """Better minus worse, shape (m,); NaN where one of the two has no reward."""
    typical: float
    """The typical difference in reward of two responses, for a comparer that of P from 1/2."""
    missing: list[str]
    """Why responses have no reward, for each that has none."""
    asked: int
    """Texts, for a comparer pairs."""


def ask_naturally(
    system: System, pairs: NaturalPairs, *, seed: int, progress: Callable[[int, int], None] | None = None
) -> NaturalAnswers:
    """Asks a system about all natural pairs."""
    questions = Questions()
    natural = questions.add(pairs.pairs, ((one.better, one.worse) for one in pairs.pairs))
    output = ask(system, questions.requests, questions.asked, seed=seed, progress=progress)
    margins, typical = output.margins(natural), float("nan")
    if np.isfinite(margins).any():
        scores = None if pairs.ordered else output.scores(natural)
        spread = np.sqrt(np.nanmean(np.square(margins))) if scores is None else np.nanstd(scores) * 2**0.5
        typical = float(spread) or 1.0
    return NaturalAnswers(margins, typical, output.missing(natural), asked_count(output))


def asked_count(output: SystemOutput) -> int:
    """Texts, or for a comparer pairs, that a system was asked about."""
    return len(output.reasons)
