"""Whether an attribution names what a score rests on: text is taken away in its order, and the score is watched.

With f the score, n units in the order of their values, the highest first, D_k = f without the first k and I_k = f with
only the first k of them:

    comprehensiveness = mean over shares q of f - D_k(q)        sufficiency = mean over q of f - I_k(q)
    deletion = mean over k of D_k - f                           insertion = mean over k of I_k - f
    normalised = (mean over k of (f - D_k) - low) / (high - low)

q is 1, 5, 10, 20 and 50% of the units (DeYoung et al. 2020, arXiv:1911.03429). `low` and `high` are the least and the
most that any order of the same units gets: only so normalised do rows and models compare (Edin et al. 2024,
arXiv:2408.08137). Random orders are measured beside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.explain.removal import Game
from guerdon.metrics import Floats, Ints

SHARES = (0.01, 0.05, 0.10, 0.20, 0.50)
"""Of the units, so many are taken away, or kept, for comprehensiveness and sufficiency; at least one."""
MOST_SEGMENTS = 20
"""Units of a row at most; more words are joined with their neighbours."""
EXACT_SEGMENTS = 8
"""Of so many units, every set is scored, and the best and the worst order are known; of more, they are searched for."""
LEAST_SEGMENTS = 4
"""Rows of fewer units order nothing."""
RANDOM_ORDERS = 10
BEAM = 2
"""Sets of units that the search for the best and the worst order goes on with."""
RANDOM = "random order"


@dataclass(frozen=True, slots=True)
class OrderMeasured:
    """How faithful one order of the units of one row is. Everything but `normalised` is in the units of the score."""

    comprehensiveness: float
    sufficiency: float
    """The lower the better: the named units alone give nearly the whole score."""
    deletion: float
    """The lower the better: the mean over k of D_k - f."""
    insertion: float
    """The higher the better: the mean over k of I_k - f."""
    normalised: float
    """0 the worst order, 1 the best."""


@dataclass(frozen=True, slots=True)
class RowMeasured:
    """The orders of one row."""

    orders: Mapping[str, OrderMeasured]
    whole: float
    """|f of the text - f of nothing|."""


def measure_row(game: Game, values: Mapping[str, Floats], *, seed: int = 0) -> RowMeasured | None:
    """Measures the orders that some attributions give the units of a row, and `RANDOM`, the mean of random orders.

    Args:
        game: the row.
        values: name of a method -> its value of each unit, shape (units,); the highest is taken away first.
        seed: seed of the random orders.

    Returns:
        None where the text has too few units, where a text has no score, or where no order moves it.
    """
    count = len(game.units)
    if count < LEAST_SEGMENTS or any(not np.isfinite(one).all() for one in values.values()):
        return None
    rng = np.random.default_rng(seed)
    orders = [np.argsort(-one, kind="stable") for one in values.values()]
    orders += [rng.permutation(count) for _ in range(RANDOM_ORDERS)]
    deleted, inserted = curves(game, orders)
    limits = exact_limits(game) if count <= EXACT_SEGMENTS else [beam_limit(game, sign) for sign in (1.0, -1.0)]
    areas = deleted.mean(axis=1)  # of f - D_k over k = 0..n; k = 0 adds nothing to any order
    low, high = min(*limits, areas.min()), max(*limits, areas.max())
    if not np.isfinite(deleted).all() or not np.isfinite(inserted).all() or not high > low:
        return None
    each = [
        _measured(lost, kept, (area - low) / (high - low))
        for lost, kept, area in zip(deleted, inserted, areas, strict=True)
    ]
    found = dict(zip(values, each, strict=False))
    by_chance = each[len(values) :]
    fields = OrderMeasured.__dataclass_fields__
    found[RANDOM] = OrderMeasured(
        **{name: float(np.mean([getattr(one, name) for one in by_chance])) for name in fields}
    )
    return RowMeasured(found, abs(float(deleted[0, -1])))


def curves(game: Game, orders: Sequence[Ints]) -> tuple[Floats, Floats]:
    """F - D_k and f - I_k for k = 0..n, each shape (orders, n + 1)."""
    count = len(game.units)
    places = np.array([np.argsort(order) for order in orders])  # the place of each unit in each order
    gone = places[:, None, :] < np.arange(count + 1)[None, :, None]
    values = game.values(np.concatenate([~gone, gone]).reshape(-1, count))
    lost = (values[0] - values).reshape(2, len(orders), count + 1)
    return lost[0], lost[1]


def _measured(lost: Floats, kept: Floats, normalised: float) -> OrderMeasured:
    count = len(lost) - 1
    bins = [max(1, math.ceil(share * count)) for share in SHARES]
    return OrderMeasured(
        comprehensiveness=float(lost[bins].mean()),
        sufficiency=float(kept[bins].mean()),
        deletion=-float(lost.mean()),
        insertion=-float(kept.mean()),
        normalised=float(normalised),
    )


def exact_limits(game: Game) -> list[float]:
    """The most and the least that the mean over k of f - D_k gets in any order, by the scores of all sets of units."""
    count = len(game.units)
    gone = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    values = game.values(gone == 0)
    lost = values[0] - values
    most, least = np.zeros(2**count), np.zeros(2**count)
    for places in range(1, 2**count):  # a set comes after all that it holds
        before = [places & ~(1 << unit) for unit in range(count) if places >> unit & 1]
        most[places] = lost[places] + most[before].max()
        least[places] = lost[places] + least[before].min()
    return [float(most[-1]) / (count + 1), float(least[-1]) / (count + 1)]


def beam_limit(game: Game, sign: float, beam: int = BEAM) -> float:
    """The most (sign 1) or the least (sign -1) that the mean over k of f - D_k gets in any order, by beam search."""
    count = len(game.units)
    whole = float(game.values(np.ones((1, count), dtype=bool))[0])
    sets, sums = np.ones((1, count), dtype=bool), np.zeros(1)
    for _ in range(count):
        parent, unit = np.nonzero(sets)
        smaller = sets[parent].copy()
        smaller[np.arange(len(parent)), unit] = False
        smaller, which = np.unique(smaller, axis=0, return_inverse=True)
        best = np.full(len(smaller), -np.inf)  # of all ways to the same set, the one with the largest sum so far
        np.maximum.at(best, which, sums[parent])
        best += sign * (whole - game.values(smaller))
        kept = np.argsort(-best, kind="stable")[:beam]
        sets, sums = smaller[kept], best[kept]
    return sign * float(sums[0]) / (count + 1)
