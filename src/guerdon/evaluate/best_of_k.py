"""Best of k by a reward, in human scores: what picking by it brings, beside what people's own best would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from guerdon.errors import DataError
from guerdon.evaluate.result_tables import Request, Table
from guerdon.metrics import Floats, Interval
from guerdon.optimize.best_of_n import best_of_n
from guerdon.types import Candidates

BEST = "the best by people"
FEWEST_PICKED_OF = 3
"""Best of two says what accuracy says."""


@dataclass(frozen=True, slots=True)
class PickCurve:
    """The mean human score of what a system picks of k responses."""

    system: str
    prompts: int
    """Prompts with enough responses for the largest k."""
    scores: Mapping[int, Interval]
    """k -> score; k = 1 is a response at random."""


def pick_curves(
    table: Table, scores: Mapping[str, Floats], requests: tuple[Request, ...], *, seed: int
) -> tuple[PickCurve, ...]:
    """The curve of every scorer, and last that of people's own scores; none where prompts have too few responses.

    Args:
        table: rated or ranked responses that every system scored.
        scores: of each scorer, the reward of each response, shape (n,).
        requests: the texts, by the number that the table gives them.
        seed: random seed of the bootstrap.
    """
    order = np.argsort(table.groups, kind="stable")
    places = np.split(order, np.flatnonzero(np.diff(table.groups[order])) + 1)
    places = [own for own in places if len(own) > 1]
    if not places:
        return ()
    candidates = [
        Candidates(
            prompt=requests[table.requests[own[0]]][0], responses=("",) * len(own), group=str(table.clusters[own[0]])
        )
        for own in places
    ]
    people = [table.truth[own] for own in places]
    curves = []
    for name, values in {**scores, BEST: table.truth}.items():
        try:
            found = best_of_n(candidates, {name: [values[own] for own in places], "people": people}, seed=seed)
        except DataError:  # too few prompts have several responses
            return ()
        if found.ns[-1] < FEWEST_PICKED_OF:
            return ()
        means = dict(zip(found.ns, found.curves[1].means, strict=True))
        curves.append(PickCurve(name, found.prompts, means))
    return tuple(curves)
