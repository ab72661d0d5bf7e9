"""What every way of attributing gives: a value for each unit of text, and how far they add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from guerdon.errors import MissingExtraError
from guerdon.explain.units import Case, Level, Part, Unit, cut, sum_onto
from guerdon.metrics import Floats

TOLERANCE = 0.01
"""Values add up where they miss what is to be shared out by at most this share of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """What units of text add to a score, or to the difference of two.

    A value above 0 speaks for `response`: of the other response, units that raise its score have values below 0.
    """

    method: str
    level: Level
    units: tuple[Unit, ...]
    values: Floats
    """Shape (units,), in the units of the score; NaN where there is none."""
    total: float
    """What is explained: the score, or the difference."""
    reference: float
    """The same where everything that is attributed is gone; NaN where the method has no such point."""
    texts: Mapping[Part, str]
    """The texts that the units' characters are counted in."""
    elsewhere: float = 0.0
    """What belongs to no text: special tokens, what a template writes."""
    passes: int = 0
    """Texts that the model computed for it; one with its gradient counts as two."""
    reasons: tuple[str, ...] = ()
    """Why values are missing, each once."""

    @property
    def gap(self) -> float:
        """|sum of the values - (total - reference)|; NaN without a reference."""
        return abs(float(self.values.sum()) + self.elsewhere - (self.total - self.reference))

    @property
    def error(self) -> float:
        """The gap as a share of what is to be shared out, |total - reference|."""
        whole = abs(self.total - self.reference)
        return self.gap / whole if whole else (0.0 if self.gap == 0 else float("inf"))

    def at(self, level: Level) -> Self:
        """The same summed over words or sentences; itself where the units are as coarse already."""
        order: tuple[Level, ...] = ("token", "word", "sentence")
        if order.index(level) <= order.index(self.level):
            return self
        parts = dict.fromkeys(unit.part for unit in self.units)
        onto = tuple(Unit(part, start, stop) for part in parts for start, stop in cut(self.texts[part], level))
        values = sum_onto(self.values, self.units, onto)
        lost = float(np.nansum(self.values) - np.nansum(values))  # tokens without characters
        return replace(self, level=level, units=onto, values=values, elsewhere=self.elsewhere + lost)

    def onto(self, units: Sequence[Unit]) -> Floats:
        """The values summed over other units, shape (len(units),)."""
        return sum_onto(self.values, self.units, units)

    def part(self, part: Part) -> list[tuple[str, float]]:
        """The units of one part with their values, as text."""
        return [
            (self.texts[part][unit.start : unit.stop], float(value))
            for unit, value in zip(self.units, self.values, strict=True)
            if unit.part == part
        ]

    def strongest(self, sign: int, most: int = 5) -> list[tuple[Part, str, float]]:
        """The words (or sentences) that raise (1) or lower (-1) what is explained most, the strongest first."""
        one = self.at("word")
        order = np.argsort(-sign * np.nan_to_num(one.values), kind="stable")[:most]
        return [
            (unit.part, one.texts[unit.part][unit.start : unit.stop].strip(), float(one.values[k]))
            for k, unit in ((k, one.units[k]) for k in order)
            if sign * one.values[k] > 0
        ]

    def __mul__(self, factor: float) -> Self:
        """The same for a score that is so many times as large."""
        return replace(
            self,
            values=self.values * factor,
            total=self.total * factor,
            reference=self.reference * factor,
            elsewhere=self.elsewhere * factor,
        )


def captum_attr(feature: str) -> Any:
    """The library's attribution methods. Raises MissingExtraError."""
    try:
        import captum.attr
    except ImportError as error:
        raise MissingExtraError(feature, "captum", "explain") from error
    return captum.attr


def margin_attribution(first: Attribution, second: Attribution) -> Attribution:
    """What units add to the difference of two scores, R(response) - R(other), from what they add to each score.

    The prompt's units stand in both texts: theirs is the difference.
    """
    assert first.level == second.level
    shown = [(unit, value) for unit, value in zip(first.units, first.values, strict=True) if unit.part != "prompt"]
    asked = _of_prompt(first)
    for unit, value in _of_prompt(second).items():
        asked[unit] = asked.get(unit, 0.0) - value
    others = [
        (replace(unit, part="other"), -value)
        for unit, value in zip(second.units, second.values, strict=True)
        if unit.part != "prompt"
    ]
    every = [*asked.items(), *shown, *others]
    return Attribution(
        method=first.method,
        level=first.level,
        units=tuple(unit for unit, _ in every),
        values=np.array([value for _, value in every], dtype=np.float64),
        total=first.total - second.total,
        reference=first.reference - second.reference,
        texts={**first.texts, "other": second.texts["response"]},
        elsewhere=first.elsewhere - second.elsewhere,
        passes=first.passes + second.passes,
        reasons=tuple(dict.fromkeys((*first.reasons, *second.reasons))),
    )


def summed_attribution(parts: Sequence[Attribution], method: str, case: Case, total: float) -> Attribution:
    """Attributions of several scores of one text as one of their sum, at the finest level that all have."""
    level: Level = "sentence" if any(part.level == "sentence" for part in parts) else "word"  # tokens differ by model
    texts = {name: case.text(name) for name in dict.fromkeys(unit.part for one in parts for unit in one.units)}
    units = tuple(Unit(part, start, stop) for part, text in texts.items() for start, stop in cut(text, level))
    values = [one.onto(units) for one in parts]
    everything = sum(float(np.nansum(one.values)) + one.elsewhere for one in parts)
    found = np.sum(values, axis=0) if values else np.zeros(len(units))
    return Attribution(
        method=method,
        level=level,
        units=units,
        values=found,
        total=total,
        reference=total - everything if all(np.isfinite(one.reference) for one in parts) else float("nan"),
        texts=texts,
        elsewhere=everything - float(np.nansum(found)),
        passes=sum(one.passes for one in parts),
        reasons=tuple(dict.fromkeys(reason for one in parts for reason in one.reasons)),
    )


def _of_prompt(one: Attribution) -> dict[Unit, float]:
    return {unit: float(value) for unit, value in zip(one.units, one.values, strict=True) if unit.part == "prompt"}
