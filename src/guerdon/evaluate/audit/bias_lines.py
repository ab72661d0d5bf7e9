"""From margins of matched pairs to the lines of an audit: shares, tests in one family, what could have been found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from guerdon.evaluate.audit.audit_results import HALF, BiasLine, Example, NaturalLine, PositionLine, Tested
from guerdon.evaluate.audit.label_results import LEVEL
from guerdon.evaluate.audit.natural_pairs import NaturalPairs
from guerdon.metrics import (
    ClusteredMean,
    Floats,
    Interval,
    Ints,
    clustered_mean,
    minimum_detectable_difference,
    q_values,
)
from guerdon.perturbations.perturbation import Perturbation
from guerdon.types import prompt_text

FEWEST_PAIRS = 20
"""Fewer pairs, or pairs of fewer prompts, are not tested."""
EXAMPLES = 2
NOT_ASKED = Tested(0, 0, Interval(float("nan")), float("nan"), 1.0)


_AnyTest = TypeVar("_AnyTest", Tested, NaturalLine)


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPairs:
    """The pairs that one line rests on."""

    perturbation: Perturbation
    places: Ints
    """The natural pair of each, shape (k,)."""
    changed: tuple[str, ...]
    control: tuple[str, ...]
    both: tuple[tuple[str, str], ...]
    """The natural pair afterwards, (better, worse): both changed, or the worse one alone; empty for a contrast."""

    def first(self, count: int) -> MatchedPairs:
        """The first so many of them."""
        return replace(
            self,
            places=self.places[:count],
            changed=self.changed[:count],
            control=self.control[:count],
            both=self.both[:count],
        )


@dataclass(frozen=True, slots=True, eq=False)
class LineMargins:
    """What the system says of them; NaN where it gave no reward."""

    matched: Floats
    """Changed minus control, shape (k,); for a comparer, P(changed preferred) - 1/2."""
    before: Floats
    """Better minus worse of the natural pair, shape (k,)."""
    after: Floats
    """The same of `MatchedPairs.both`; shape (k,), or (0,)."""


def picks(margins: Floats) -> Floats:
    """1 where the first is preferred, 1/2 for a tie, NaN where there is no verdict."""
    return np.asarray((np.sign(margins) + 1) / 2)


def untested(mean: ClusteredMean) -> Tested:
    """A share that has its p-value, and no q-value yet."""
    return Tested(mean.n, mean.clusters, mean.share, mean.standard_error, mean.p_value(HALF))


def bias_line(found: MatchedPairs, margins: LineMargins, pairs: NaturalPairs, typical: float) -> BiasLine:
    """The line of one change, without its q-value; `typical` is the size of a natural difference."""
    one, clusters = found.perturbation, pairs.clusters[found.places]
    share = clustered_mean(picks(margins.matched), clusters)
    enough = share.n >= FEWEST_PAIRS and share.clusters >= 2
    shift = clustered_mean(margins.matched / typical, clusters).interval
    order = ClusteredMean(float("nan"), float("nan"), 0, 0)
    if len(margins.after):
        before = np.sign(margins.before)
        counted = (before != 0) if one.same_meaning else (before > 0)
        changed = 1 - picks(before * np.sign(margins.after))
        order = clustered_mean(np.where(counted & ~np.isnan(before), changed, np.nan), clusters)
    return BiasLine(
        name=one.name,
        family=one.family,
        about=one.about,
        liked=one.liked,
        test=untested(share) if enough else NOT_ASKED,
        shift=shift if enough else Interval(float("nan")),
        order=order.share,
        order_pairs=order.n,
        examples=_examples(found, margins, pairs),
    )


def natural_line(name: str, more: Floats, margins: Floats, clusters: Ints) -> NaturalLine | None:
    """How people and a system choose where two responses differ in a style; None for few pairs.

    Args:
        name: what the line is called.
        more: how much more of the style the better response has, shape (m,); see `more_of`.
        margins: what the system says, better minus worse, shape (m,).
        clusters: shape (m,).
    """
    there = (more != 0) & ~np.isnan(margins)
    clusters = clusters[there]
    if there.sum() < FEWEST_PAIRS or len(np.unique(clusters)) < 2:
        return None
    people_pick, model_picks = picks(more[there]), picks(margins[there] * np.sign(more[there]))
    people, model = clustered_mean(people_pick, clusters), clustered_mean(model_picks, clusters)
    excess = clustered_mean(model_picks - people_pick, clusters)
    # Beyond people: it leans to a side at all, and further to that side than they do; both must be sure.
    beyond = (model.mean - HALF) * excess.mean > 0
    p = max(model.p_value(HALF), excess.p_value()) if beyond else 1.0
    error = max(model.standard_error, excess.standard_error)
    return NaturalLine(name, excess.n, excess.clusters, people.share, model.share, excess.interval, error, p)


def with_q_values(
    lines: Sequence[BiasLine], position: PositionLine | None
) -> tuple[tuple[BiasLine, ...], PositionLine | None]:
    """Gives every test of a report its q-value, and what it could have found.

    With R of m tests below the level, another one would have to have a p-value below level (R + 1) / m.
    """
    p = [line.test.p for line in lines if line.test.n]
    p += [line.natural.p for line in lines if line.natural is not None]
    p += [position.test.p] if position is not None else []
    q = q_values(p)
    below = LEVEL * min(len(q), int((q < LEVEL).sum()) + 1) / max(1, len(q))
    of_p = dict(zip(p, q.tolist(), strict=True))

    def told(one: _AnyTest) -> _AnyTest:
        detectable = minimum_detectable_difference(one.standard_error, alpha=below)
        if one.standard_error == 0 and not one.at_null:  # all alike: nothing is known of what varies
            detectable = float("nan")
        return replace(one, q=of_p[one.p], detectable=detectable)

    done = [
        replace(
            line,
            test=told(line.test) if line.test.n else line.test,
            natural=None if line.natural is None else told(line.natural),
        )
        for line in lines
    ]
    return tuple(done), None if position is None else replace(position, test=told(position.test))


def _examples(found: MatchedPairs, margins: LineMargins, pairs: NaturalPairs) -> tuple[Example, ...]:
    """Pairs from the middle of those that went as most did."""
    known = np.flatnonzero(~np.isnan(margins.matched))
    if not len(known):
        return ()
    side = np.sign(np.nansum(np.sign(margins.matched[known]))) or 1.0
    same = known[np.sign(margins.matched[known]) == side]
    order = (same if len(same) else known)[np.argsort(margins.matched[same if len(same) else known], kind="stable")]
    middle = max(0, (len(order) - EXAMPLES) // 2)
    return tuple(
        Example(
            prompt_text(pairs.pairs[found.places[place]].prompt),
            found.control[place],
            found.changed[place],
            float(margins.matched[place]),
        )
        for place in order[middle : middle + EXAMPLES]
    )
