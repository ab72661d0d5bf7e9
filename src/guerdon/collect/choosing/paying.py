"""How well the reward does on tasks that chance drew, and whether chosen labels teach it more than drawn ones."""

from __future__ import annotations

import numpy as np

from guerdon.collect.choosing.head import Head
from guerdon.collect.choosing.rounds import Paid
from guerdon.metrics import Floats, Interval, Ints, mean_interval
from guerdon.rewards.judged import JudgedResponses

FOLDS = 5
_DRAWS = 5
"""Draws of as many labels from the larger side."""
FEWEST = 10
"""Labels that each side learns from, at least, where they are compared."""


def accuracy(differences: Floats, judged: JudgedResponses, where: Ints, drawn: Ints, seed: int = 0) -> Interval:
    """The accuracy on tasks that chance drew, each by a head that learnt from no label of its group.

    Args:
        differences: features of all pairs, better less worse, shape (pairs, d).
        judged: what was said of them.
        where: the places of the labels, shape (m,).
        drawn: those of them that chance drew.
        seed: seed of the folds.
    """
    merit = np.full(len(judged), np.nan)
    for seen, unseen in _folds(judged, where, drawn, seed):
        merit[unseen] = judged.merit(differences[unseen] @ _weights(differences, judged, seen), unseen)
    return _interval(merit, judged, drawn)


def paid(
    differences: Floats, judged: JudgedResponses, where: Ints, drawn: Ints, chosen: Ints, seed: int = 0
) -> Paid | None:
    """Labels of both sides, as many of each, measured on tasks that chance drew; None where there are too few.

    Args:
        differences: as for `accuracy`, and so are `judged`, `where` and `seed`.
        judged: what was said of the pairs.
        where: the places of the labels.
        drawn: those that chance drew.
        chosen: those that were chosen.
        seed: seed of folds and draws.
    """
    rng, counts = np.random.default_rng(seed), []
    gain = np.full(len(judged), np.nan)
    for seen, unseen in _folds(judged, where, drawn, seed):
        sides = [np.intersect1d(side, seen) for side in (chosen, drawn)]
        count = min(map(len, sides))
        if count < FEWEST:
            continue
        merits = []
        for side in sides:
            draws = [rng.choice(side, count, replace=False) for _ in range(_DRAWS if len(side) > count else 1)]
            margins = [differences[unseen] @ _weights(differences, judged, np.sort(draw)) for draw in draws]
            merits.append(np.mean([judged.merit(one, unseen) for one in margins], axis=0))
        gain[unseen] = merits[0] - merits[1]
        counts.append(count)
    if not counts:
        return None
    return Paid(_interval(gain, judged, drawn), round(float(np.mean(counts))))


def _interval(values: Floats, judged: JudgedResponses, drawn: Ints) -> Interval:
    """The mean on the drawn tasks; groups are drawn for its interval, or where all have one prompt, tasks."""
    groups = judged.group[drawn].tolist()
    return mean_interval(values[drawn], groups if len(set(groups)) > 1 else None)


def _folds(judged: JudgedResponses, where: Ints, drawn: Ints, seed: int) -> list[tuple[Ints, Ints]]:
    """Of each fold the labels outside it, and those in it that chance drew; no group is in both."""
    fold_of = judged.folds(FOLDS, seed, where)
    found = [(where[fold_of != fold], np.intersect1d(where[fold_of == fold], drawn)) for fold in np.unique(fold_of)]
    return [(seen, unseen) for seen, unseen in found if len(unseen)]


def _weights(differences: Floats, judged: JudgedResponses, where: Ints) -> Floats:
    return Head.fit(differences[where], judged, where).weights
