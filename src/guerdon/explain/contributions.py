"""What a reward is made of: the members of a blend or an ensemble, and the named features of linear rewards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.explain.target import System
from guerdon.explain.units import Case
from guerdon.metrics import Floats
from guerdon.rewards.blend import Blend
from guerdon.rewards.compose import WeightedSum
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.terms import TermFeatures

NAMED = ("surface", "likelihood")
"""Kinds of features that a reader understands by their names."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one member, or one feature of a member, adds to the score of each response."""

    name: str
    member: str
    """The member that a feature is of; empty for members themselves, and where there is one reward."""
    values: tuple[float, ...]
    """One for each response."""

    @property
    def difference(self) -> float:
        """What it adds to the difference of two responses, or to the score of one."""
        return self.values[0] - sum(self.values[1:])


def member_contributions(system: System, case: Case) -> list[Contribution]:
    """What each member adds; with a constant, they sum to the scores. None for a reward without members."""
    responses = [case.response, *([] if case.other is None else [case.other])]
    return [
        Contribution(name, "", tuple(values.tolist())) for name, values in _members(system, case, responses).items()
    ]


def feature_contributions(system: System, case: Case, most: int = 12) -> list[Contribution]:
    """What named features add, the largest first: of surface measures, log-probabilities, and words.

    Features of a member of a blend are in the units of the blend. Of a bag of words the words and pairs of words are
    named; its pieces of words say the same in a way that is hard to read.
    """
    responses = [case.response, *([] if case.other is None else [case.other])]
    found = [
        Contribution(name, member, tuple(values.tolist()))
        for member, reward, units in linear_members(system)
        for name, values in _features(reward, case, responses, units)
        if values.any()
    ]
    return sorted(found, key=lambda one: -abs(one.difference))[:most]


def linear_members(system: System) -> Iterator[tuple[str, LinearReward, float]]:
    """The linear rewards of a reward: the name of the member, the reward, and its factor in the whole."""
    if isinstance(system, LinearReward):
        yield "", system, 1.0
    elif isinstance(system, Blend):
        units = system.scale * system.weights / system.deviations
        for (name, member), factor in zip(system.members.items(), units.tolist(), strict=True):
            if factor and isinstance(member, LinearReward):
                yield name, member, factor


def _features(reward: LinearReward, case: Case, responses: Sequence[str], units: float) -> Iterator[tuple[str, Floats]]:
    """Name and values, shape (responses,), of each feature that a reader understands."""
    if isinstance(reward.features, TermFeatures):
        names = [f"“{name}”" for name in reward.features.words()]
    elif reward.features.kind in NAMED:
        names = reward.features.names()
    else:
        return
    values = reward.contributions([case.prompt] * len(responses), responses)[:, : len(names)] * units
    for place in np.flatnonzero(values.any(axis=0)):
        yield names[place], values[:, place]


def _members(system: System, case: Case, responses: Sequence[str]) -> Mapping[str, Floats]:
    prompts = [case.prompt] * len(responses)
    if isinstance(system, Blend):
        added = system.contributions(prompts, responses)
        return {name: added[:, place] for place, name in enumerate(system.members)}
    if isinstance(system, Ensemble):
        scores = system.member_scores(prompts, responses).astype(np.float64) / len(system.members)
        return {f"member {place}": values for place, values in enumerate(scores)}
    if isinstance(system, WeightedSum):
        parts = system.parts(prompts, responses, references=[case.reference] * len(responses))
        return {name: system.weights[name] * part.values.astype(np.float64) for name, part in parts.items()}
    return {}
