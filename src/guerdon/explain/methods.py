"""Which way of attributing suits which kind of reward, and the one function that attributes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, cast, get_args

import numpy as np

from guerdon.errors import ConfigError
from guerdon.explain.attribution import TOLERANCE, Attribution, margin_attribution, summed_attribution
from guerdon.explain.removal import MOST_PLAYERS, Game, occlusion_attribution, shapley_attribution
from guerdon.explain.target import System, Target
from guerdon.explain.units import Case, Part, joined_units, units_of
from guerdon.rewards.blend import Blend
from guerdon.rewards.linear import Features, LinearReward
from guerdon.rewards.rules import LengthReward
from guerdon.types import Scorer

Method: TypeAlias = Literal["auto", "exact", "integrated-gradients", "gradient-x-input", "occlusion", "shapley"]
"""`auto`: `exact` for what is linear in words, tokens or length; `integrated-gradients` for transformers; for a blend,
each member by its own; `occlusion` for all else."""
Grain: TypeAlias = Literal["auto", "word", "sentence"]
"""The units that are left out where nothing but scores is known; `auto` leaves out sentences, or clauses of one."""


def default_method(system: System) -> str:
    """What `auto` means for this kind of reward; `members` is each member of a blend by its own."""
    from guerdon.rewards.ensemble import Ensemble
    from guerdon.rewards.transformer import TransformerReward

    if isinstance(system, LengthReward) or (
        isinstance(system, LinearReward) and type(system.features).located is not Features.located
    ):
        return "exact"
    if isinstance(system, TransformerReward) or (isinstance(system, Ensemble) and system.k == 0):
        return "integrated-gradients"
    return "members" if isinstance(system, Blend) else "occlusion"


def attribute(
    target: Target,
    case: Case,
    *,
    method: Method = "auto",
    grain: Grain = "auto",
    parts: Sequence[Part] = ("response",),
    seed: int = 0,
) -> Attribution:
    """What units of text add to a score, or to the difference of two scores.

    Args:
        target: what is explained, and its scores as far as they are known.
        case: one response, or two.
        method: see `Method`.
        grain: the units of occlusion and of Shapley values.
        parts: `response`, or `prompt` as well; of two responses, both are always attributed to.
        seed: seed of the orders that Shapley values sample.

    Raises:
        ConfigError: the method does not fit the kind of reward.
        MissingExtraError: captum is not installed.
    """
    chosen = default_method(target.system) if method == "auto" else method
    if chosen in ("occlusion", "shapley"):
        return _by_removal(target, case, chosen, grain, parts, seed)
    if not isinstance(target.system, Scorer):
        raise _unfit(chosen, target.system, ("occlusion", "shapley"))
    first = _of_text(target.system, case, chosen, parts)
    if case.other is None:
        return first
    found = margin_attribution(first, _of_text(target.system, case.swapped(), chosen, parts))
    if chosen == "integrated-gradients" and found.error > TOLERANCE:  # each adds up, but they nearly cancel
        gap = TOLERANCE * abs(found.total - found.reference) / 2
        sides = (_of_text(target.system, side, chosen, parts, gap) for side in (case, case.swapped()))
        found = margin_attribution(*sides)
    return found


def _by_removal(target: Target, case: Case, method: str, grain: Grain, parts: Sequence[Part], seed: int) -> Attribution:
    every: list[Part] = [*(part for part in parts if part != "other"), *(["other"] if case.other is not None else [])]  # type: ignore[list-item]
    cut: Literal["word", "segment"] = "word" if grain == "word" else "segment"
    units = [units_of(case, [part], cut) for part in every]
    if method == "shapley":
        units = [joined_units(own, MOST_PLAYERS) for own in units]
    game = Game(target, case, tuple(unit for own in units for unit in own))
    if method == "shapley":
        return shapley_attribution(game, "word" if cut == "word" else "sentence", seed=seed)
    return occlusion_attribution(game, "word" if cut == "word" else "sentence")


def _of_text(scorer: Scorer, case: Case, method: str, parts: Sequence[Part], most_gap: float = math.inf) -> Attribution:
    """The attribution of one score."""
    from guerdon.rewards.ensemble import Ensemble
    from guerdon.rewards.transformer import TransformerReward

    alone = replace(case, other=None)
    if isinstance(scorer, Blend):
        return _of_blend(scorer, alone, method, parts)
    if method == "exact":
        return _exact(scorer, alone, parts)
    if method in ("integrated-gradients", "gradient-x-input"):
        from guerdon.explain.gradients import GradientMethod, gradient_attribution

        if isinstance(scorer, TransformerReward):
            return gradient_attribution(
                scorer,
                case.prompt,
                case.response,
                method=cast("GradientMethod", method),
                parts=parts,
                most_gap=most_gap,
            )
        if isinstance(scorer, Ensemble) and scorer.k == 0:
            shared = float(np.mean([member.contract.std for member in scorer.members])) / len(scorer.members)
            units = [shared / member.contract.std for member in scorer.members]
            found = [
                _of_text(member, alone, method, parts, most_gap / unit / len(units)) * unit
                for member, unit in zip(scorer.members, units, strict=True)
            ]
            return summed_attribution(found, method, alone, float(scorer.score([case.prompt], [case.response])[0]))
    if method == "occlusion":  # a member of a blend
        return _by_removal(Target(scorer), alone, method, "word", parts, 0)
    raise _unfit(
        method, scorer, [one for one in get_args(Method) if one in (default_method(scorer), "occlusion", "shapley")]
    )


def _of_blend(blend: Blend, case: Case, method: str, parts: Sequence[Part]) -> Attribution:
    """The members' attributions in the units of the blend; a member without a reward for the text adds nothing."""
    rewards, added = blend.explained([case.prompt], [case.response])
    found = []
    for place, member in enumerate(blend.members.values()):
        if blend.weights[place] and (added[0, place] or _rewarded(member, case)):
            own = default_method(member) if method == "members" else method
            units = blend.scale * blend.weights[place] / blend.deviations[place]
            found.append(_of_text(member, case, own, parts) * float(units))
    return summed_attribution(found, method, case, float(rewards.values[0]))


def _rewarded(member: Scorer, case: Case) -> bool:
    return bool(np.isfinite(Target(member).ask([case]).values[0]))


def _exact(scorer: Scorer, case: Case, parts: Sequence[Part]) -> Attribution:
    """The value of each character of a reward that is a sum over them, as words."""
    prompt, response = case.text("prompt"), case.response
    located = None
    if isinstance(scorer, LinearReward):
        located = scorer.located(case.prompt, response)
    elif isinstance(scorer, LengthReward):
        located = np.zeros(len(prompt)), np.full(len(response), float(scorer.sign))
    if located is None:
        raise _unfit("exact", scorer, (default_method(scorer), "shapley"))
    units = tuple(units_of(case, ["prompt", "response"], "word"))
    values = np.array([located[unit.part == "response"][unit.start : unit.stop].sum() for unit in units])
    total = float(scorer.score([case.prompt], [response])[0])
    kept = np.array([unit.part in parts for unit in units], dtype=bool)
    everything = float(located[0].sum() * ("prompt" in parts) + located[1].sum())
    return Attribution(
        method="exact",
        level="word",
        units=tuple(unit for unit, there in zip(units, kept, strict=True) if there),
        values=values[kept],
        total=total,
        reference=total - everything,
        texts={"prompt": prompt, "response": response},
        elsewhere=everything - float(values[kept].sum()),
        passes=1,
    )


def _unfit(method: str, system: object, fitting: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"--method {method} does not fit a {type(system).__name__}; these do: {', '.join(dict.fromkeys(fitting))}"
    )
