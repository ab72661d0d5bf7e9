"""Attribution by taking units of text away, for anything that gives a score: occlusion, and Shapley values by sampling.

    occlusion_i = v(all) - v(all but i)
    Shapley_i   = mean over orders of v(those before i, and i) - v(those before i)

Li, Monroe & Jurafsky 2016 (arXiv:1612.08220); Castro, Gomez & Tejada 2009, whose sampling captum has. Occlusion need
not add up to the score: two sentences that say the same thing may each have no effect. Shapley values do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guerdon.explain.attribution import Attribution, captum_attr
from guerdon.explain.target import Target
from guerdon.explain.units import Case, Level, Unit
from guerdon.metrics import Floats
from guerdon.types import Rewards

if TYPE_CHECKING:
    from torch import Tensor

SHAPLEY_SAMPLES = 25
"""Orders of the units that Shapley values are the mean over."""
MOST_PLAYERS = 20
"""Shapley values are given to so many units at most; more words are joined with their neighbours."""


@dataclass(frozen=True, slots=True)
class Game:
    """A case whose units may each be there or not, and what the number is then."""

    target: Target
    case: Case
    units: tuple[Unit, ...]
    fill: str = ""
    """What stands in place of each word that is taken away; empty leaves it out."""

    def answers(self, kept: np.ndarray) -> Rewards:
        """The number for n sets of units that are there, `kept` bool, shape (n, units), with reasons."""
        return self.target.ask(
            [
                self.case.without([unit for unit, there in zip(self.units, row, strict=True) if not there], self.fill)
                for row in np.asarray(kept, dtype=bool)
            ]
        )

    def values(self, kept: np.ndarray) -> Floats:
        """As `answers`, NaN where there is none; shape (n,)."""
        return self.answers(kept).values.astype(np.float64)


def occlusion_attribution(game: Game, level: Level) -> Attribution:
    """What each unit adds: the number with it less the number without it."""
    before = game.target.passes
    count = len(game.units)
    found = game.answers(np.vstack([np.ones((1, count), dtype=bool), ~np.eye(count, dtype=bool)]))
    values = found.values[0].astype(np.float64) - found.values[1:].astype(np.float64)
    reasons = dict.fromkeys(reason for reason in found.reasons if reason)
    return _attribution("occlusion", level, game, values, float(found.values[0]), float("nan"), before, tuple(reasons))


def shapley_attribution(game: Game, level: Level, *, seed: int = 0) -> Attribution:
    """Shapley values of the units by sampled orders, which add up to the number less that of the empty text.

    Raises:
        MissingExtraError: captum is not installed.
    """
    import torch

    methods = captum_attr("Shapley sampling")
    before, count = game.target.passes, len(game.units)
    first = game.answers(np.array([[True] * count, [False] * count]))
    values = np.zeros(count)
    if count and not any(first.reasons):

        def forward(there: Tensor) -> Tensor:
            return torch.from_numpy(game.values(there.numpy() > 0.5))

        sampling = methods.ShapleyValueSampling(forward)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found = sampling.attribute(torch.ones(1, count), n_samples=SHAPLEY_SAMPLES, perturbations_per_eval=64)
        values = found[0].double().numpy()
    total, empty = (float(value) for value in first.values)
    values = values if np.isfinite(total - empty) else np.full(count, np.nan)
    reasons = tuple(dict.fromkeys(reason for reason in first.reasons if reason))
    return _attribution("shapley", level, game, values, total, empty, before, reasons)


def _attribution(
    method: str,
    level: Level,
    game: Game,
    values: Floats,
    total: float,
    reference: float,
    before: int,
    reasons: tuple[str, ...],
) -> Attribution:
    return Attribution(
        method=method,
        level=level,
        units=game.units,
        values=values,
        total=total,
        reference=reference,
        texts={part: game.case.text(part) for part in dict.fromkeys(unit.part for unit in game.units)},
        passes=game.target.passes - before,
        reasons=reasons,
    )
