"""Ways of attributing beside each other, over many rows: which of them names what the score rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.errors import GuerdonError
from guerdon.explain.attention import AttentionPaid, attention_paid
from guerdon.explain.attribution import Attribution
from guerdon.explain.faithfulness import LEAST_SEGMENTS, MOST_SEGMENTS, RANDOM, RowMeasured, measure_row
from guerdon.explain.methods import Method, attribute, default_method
from guerdon.explain.removal import Game, occlusion_attribution
from guerdon.explain.target import Target
from guerdon.explain.tokens import blank_word
from guerdon.explain.units import Case, Unit, joined_units, units_of
from guerdon.metrics import Floats, Interval, mean_interval
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import prompt_text

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and of how much."""

ROLLOUT, BEST_HEAD = "attention rollout", "best attention head"
DELETED, MASKED = "left out", "masked"
"""The two ways of taking words away."""
_HEAD_SHARE = 0.2
"""Heads are chosen by how far the score falls without the fifth of the units that they read most."""


@dataclass(frozen=True, slots=True)
class MethodFaithfulness:
    """How faithful one method is, over all rows."""

    method: str
    normalised: Interval
    """0 the worst order of the units of each row, 1 the best."""
    over_random: Interval
    """The same less that of a random order, paired."""
    comprehensiveness: float
    """This and the next three as a share of |f of the text - f of nothing|, means over rows divided by each other."""
    sufficiency: float
    deletion: float
    insertion: float


@dataclass(frozen=True, slots=True)
class HeadsMeasured:
    """Every attention head by itself: how far the score falls without the fifth of the units that it reads most."""

    layers: int
    heads: int
    above_random: int
    """Heads whose mean over rows is above that of a random order."""
    best: str
    """Layer and head, counted from 1, that is best over all rows."""


@dataclass(frozen=True, slots=True)
class FaithfulnessTable:
    """Methods by how words are taken away, the most faithful first."""

    removals: Mapping[str, tuple[MethodFaithfulness, ...]]
    rows: int
    prompts: int
    left_out: int
    """Rows that cannot be measured: of too few words, without a score, or whose score nothing moves."""
    segments: int
    """Units of a row at most."""
    heads: HeadsMeasured | None
    missed: Mapping[str, float]
    """A method whose values add up -> what they missed at most in any row, as a share of what is shared out."""

    def lines(self) -> list[str]:
        """What the terminal says of it in words."""
        found = [
            f"0 is the worst order of the at most {self.segments} units of a row that there is, 1 the best. The "
            "other values are shares of the distance between the score of the text and that of nothing."
        ]
        if self.left_out:
            found.append(f"{self.left_out:,} rows could not be measured.")
        for method, most in self.missed.items():
            found.append(f"Values of {method} add up to within {most:.2%} in every row.")
        if self.heads is not None:
            found.append(
                f"{self.heads.above_random} of {self.heads.layers * self.heads.heads} attention heads are above a "
                f"random order, {self.heads.best} is best; '{BEST_HEAD}' is chosen on the other half of the prompts."
            )
        return found


def measure_faithfulness(
    target: Target,
    cases: Sequence[Case],
    *,
    methods: Sequence[Method] = (),
    segments: int = MOST_SEGMENTS,
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> FaithfulnessTable:
    """Measures methods on the first response of each case, with the words left out and with the words masked.

    Args:
        target: what is explained.
        cases: rows; those of one prompt are one cluster of the intervals.
        methods: none measures the default one, those beside it that fit the kind of reward, and attention.
        segments: units of a row at most.
        seed: seed of the random orders.
        progress: called after each row, as `explain_reward` calls it: first rows are attributed, then measured.
    """
    reward = target.system if isinstance(target.system, TransformerReward) else None
    chosen = list(methods) or default_methods(target)
    known = []
    for done, case in enumerate(cases, start=1):
        row = _Row.of(target, case, chosen, reward, segments)
        known += [] if row is None else [row]
        progress("attributions", done, len(cases))
    picked = _cross_fitted_heads(known) if reward is not None and known else None
    found: dict[str, list[tuple[str, RowMeasured]]] = {}
    for place, row in enumerate(known):
        values = dict(row.values)
        if picked is not None:
            values[BEST_HEAD] = row.heads[:, picked[place]]
        measured = {
            name: measure_row(Game(target, row.case, row.units, fill), values, seed=seed + place)
            for name, fill in ((DELETED, ""), (MASKED, blank_word(getattr(target.system, "tokenizer", None))))
        }
        if all(one is not None for one in measured.values()):
            for name, one in measured.items():
                if one is not None:
                    found.setdefault(name, []).append((prompt_text(row.case.prompt), one))
        progress("faithfulness", place + 1, len(known))
    measured_rows = len(found.get(DELETED, ()))
    return FaithfulnessTable(
        removals={name: _summary(several) for name, several in found.items()},
        rows=measured_rows,
        prompts=len({prompt for prompt, _ in found.get(DELETED, ())}),
        left_out=len(cases) - measured_rows,
        segments=segments,
        heads=_heads(known, seed) if picked is not None else None,
        missed={
            name: max(row.missed[name] for row in known)
            for name in (known[0].missed if known else ())
            if all(np.isfinite(row.missed[name]) for row in known)
        },
    )


def default_methods(target: Target) -> list[Method]:
    """The methods that fit a kind of reward, its default one first."""
    first: Method = default_method(target.system)  # type: ignore[assignment]
    if first == "integrated-gradients":
        return [first, "gradient-x-input", "occlusion"]
    return ["auto"] if first == "occlusion" else ["auto", "occlusion"]


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """One row with what each method gives its units."""

    case: Case
    units: tuple[Unit, ...]
    values: Mapping[str, Floats]
    heads: Floats
    """Attention of every head, shape (units, layers * heads); no heads where there is no transformer."""
    falls: Floats
    """How far the score falls without the units that each head reads most, and last in a random order."""
    layers: int
    missed: Mapping[str, float]
    """What the values of each method missed adding up by, as a share; NaN where they need not add up."""

    @classmethod
    def of(
        cls, target: Target, case: Case, methods: Sequence[Method], reward: TransformerReward | None, segments: int
    ) -> _Row | None:
        """None where the row has too few units or no score."""
        alone = Case(case.prompt, case.response, case.other if target.scorer is None else None, case.reference)
        units = tuple(joined_units(units_of(alone, ["response"], "word"), segments))
        if len(units) < LEAST_SEGMENTS or target.ask([alone]).reasons[0]:
            return None
        try:
            each = {_name(target, method): _attributed(target, alone, method, units) for method in methods}
            values = {name: one.onto(units) for name, one in each.items()}
            missed = {name: one.error for name, one in each.items()}
            if reward is None:
                return cls(alone, units, values, np.zeros((len(units), 0)), np.zeros(0), 0, missed)
            paid = attention_paid(reward, alone.prompt, alone.response)
        except GuerdonError:
            return None
        values[ROLLOUT] = paid.onto(units)
        heads = _every_head(paid, units)
        falls = _falls(Game(target, alone, units), heads)
        return cls(alone, units, values, heads, falls, paid.heads.shape[0], missed)


def _attributed(target: Target, case: Case, method: Method, units: tuple[Unit, ...]) -> Attribution:
    """What a method gives; occlusion leaves out these very units."""
    if _name(target, method) == "occlusion":
        return occlusion_attribution(Game(target, case, units), "word")
    return attribute(target, case, method=method, grain="word")


def _name(target: Target, method: Method) -> str:
    return default_method(target.system) if method == "auto" else method


def _every_head(paid: AttentionPaid, units: Sequence[Unit]) -> Floats:
    layers, heads, _ = paid.heads.shape
    every = [paid.onto(units, layer=layer, head=head) for layer in range(layers) for head in range(heads)]
    return np.stack(every, axis=1)


def _falls(game: Game, heads: Floats) -> Floats:
    count = len(game.units)
    most = max(1, math.ceil(_HEAD_SHARE * count))
    rng = np.random.default_rng(count)
    orders = [np.argsort(-heads[:, place], kind="stable") for place in range(heads.shape[1])]
    orders += [rng.permutation(count) for _ in range(10)]
    kept = np.ones((len(orders) + 1, count), dtype=bool)
    for place, order in enumerate(orders):
        kept[place, order[:most]] = False
    values = game.values(kept)
    falls = values[-1] - values[:-1]
    return np.append(falls[: heads.shape[1]], falls[heads.shape[1] :].mean())


def _cross_fitted_heads(rows: Sequence[_Row]) -> list[int]:
    """For each row the head that is best on the rows of the other half of the prompts."""
    prompts = {key: place for place, key in enumerate(dict.fromkeys(prompt_text(row.case.prompt) for row in rows))}
    half = np.array([prompts[prompt_text(row.case.prompt)] % 2 for row in rows])
    falls = np.array([row.falls[:-1] for row in rows])
    best = [
        int(np.nan_to_num(falls[half != side] if (half != side).any() else falls).mean(axis=0).argmax())
        for side in (0, 1)
    ]
    return [best[side] for side in half]


def _heads(rows: Sequence[_Row], seed: int) -> HeadsMeasured:
    falls = np.nanmean([row.falls for row in rows], axis=0)
    count, layers = len(falls) - 1, rows[0].layers
    best = int(falls[:-1].argmax())
    per_layer = count // layers
    return HeadsMeasured(
        layers,
        per_layer,
        int((falls[:-1] > falls[-1]).sum()),
        f"layer {best // per_layer + 1}, head {best % per_layer + 1}",
    )


def _summary(rows: Sequence[tuple[str, RowMeasured]]) -> tuple[MethodFaithfulness, ...]:
    prompts = [prompt for prompt, _ in rows]
    whole = float(np.mean([one.whole for _, one in rows]))
    found = []
    for method in rows[0][1].orders:
        orders = [one.orders[method] for _, one in rows]
        chance = [one.orders[RANDOM].normalised for _, one in rows]
        normalised = np.array([one.normalised for one in orders])
        found.append(
            MethodFaithfulness(
                method,
                mean_interval(normalised, prompts),
                mean_interval(normalised - np.array(chance), prompts),
                *(
                    float(np.mean([getattr(one, name) for one in orders])) / whole if whole else float("nan")
                    for name in ("comprehensiveness", "sufficiency", "deletion", "insertion")
                ),
            )
        )
    return tuple(sorted(found, key=lambda one: -one.normalised.point))
