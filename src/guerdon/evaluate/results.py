"""What an evaluation found: plain frozen records, the same in Python, in JSON, in the table and in the figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from guerdon.metrics import METRICS, Interval, Outcome

FEW_CLUSTERS = 10
"""Below this many prompts the bootstrap sees too little variety, and its intervals are too narrow."""


@dataclass(frozen=True, slots=True)
class SystemResult:
    """The figures of one scorer on one part of the data."""

    name: str
    metrics: Mapping[str, Interval]
    """By the names of `METRICS`; NaN where the data cannot give the figure."""
    score_ties: int
    """Pairs to which the scorer gave equal rewards."""
    unscored: int
    """Responses without a reward (NaN); what needs them is left out for every system, so all see the same rows."""
    difference: Interval | None = None
    """Model minus this baseline in the primary metric, on the same resamples; None for the model itself."""


@dataclass(frozen=True, slots=True)
class PartResult:
    """One part of the data: all of it (`subset` is empty), or one subset."""

    subset: str
    rows: int
    pairs: int
    """Pairs of responses that people ordered and every system scored."""
    human_ties: int
    """Comparisons in which people saw no winner: no part of any accuracy."""
    longer_won: int
    """Pairs whose preferred response is the longer one."""
    shorter_won: int
    clusters: int
    """Independent pieces that the bootstrap draws."""
    unit: str
    """What a piece is: `prompt`, `group`, or `row` where all rows share one prompt."""
    systems: tuple[SystemResult, ...]
    """The model first."""

    @property
    def model(self) -> SystemResult:
        """The figures of the model."""
        return self.systems[0]

    @property
    def baselines(self) -> tuple[SystemResult, ...]:
        """The figures of what stands beside it."""
        return self.systems[1:]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the model beats its best baseline in the primary metric."""

    baseline: str
    difference: Interval
    outcome: Outcome
    """`better` or `worse` where the whole interval of the difference is on one side of 0, else `unclear`."""


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one kind."""

    kind: str
    """`comparisons`, `ratings`, `ratings: ATTRIBUTE`, `rankings` or `references`."""
    primary: str
    """The metric that decides, a name of `METRICS`."""
    overall: PartResult
    subsets: tuple[PartResult, ...]
    """Empty when the rows name fewer than two subsets."""
    notes: tuple[str, ...] = ()
    """What a reader must know to read the figures right."""

    @property
    def verdict(self) -> Verdict | None:
        """Model against the baseline with the best primary figure; None without baselines or figures."""
        rivals = [s for s in self.overall.baselines if not math.isnan(s.metrics[self.primary].point)]
        if not rivals or math.isnan(self.overall.model.metrics[self.primary].point):
            return None
        best = max(rivals, key=lambda system: system.metrics[self.primary].point)
        difference = best.difference or Interval(float("nan"))
        return Verdict(best.name, difference, METRICS[self.primary].outcome(difference))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Agreement of a scorer with people, beside baselines."""

    model: str
    sections: tuple[Section, ...]
    resamples: int
    """Bootstrap data sets behind every interval; the intervals cover 95%."""
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the caller wants kept with the figures (the data's name, the model's path)."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for JSON: NaN becomes None."""
        return {
            "model": self.model,
            **self.settings,
            "resamples": self.resamples,
            "seed": self.seed,
            "sections": [_section_dict(section) for section in self.sections],
        }


def _section_dict(section: Section) -> dict[str, Any]:
    verdict = section.verdict
    return {
        "kind": section.kind,
        "primary": section.primary,
        "verdict": verdict
        and {
            "baseline": verdict.baseline,
            "outcome": verdict.outcome,
            "difference": _interval_dict(verdict.difference),
        },
        "notes": list(section.notes),
        "overall": _part_dict(section.overall),
        "subsets": [_part_dict(part) for part in section.subsets],
    }


def _part_dict(part: PartResult) -> dict[str, Any]:
    names = ("subset", "rows", "pairs", "human_ties", "longer_won", "shorter_won", "clusters", "unit")
    return {**{name: getattr(part, name) for name in names}, "systems": [_system_dict(s) for s in part.systems]}


def _system_dict(system: SystemResult) -> dict[str, Any]:
    return {
        "name": system.name,
        "metrics": {name: _interval_dict(value) for name, value in system.metrics.items()},
        "score_ties": system.score_ties,
        "unscored": system.unscored,
        "difference": system.difference and _interval_dict(system.difference),
    }


def _interval_dict(interval: Interval) -> dict[str, float | None]:
    return {name: None if math.isnan(value := getattr(interval, name)) else value for name in ("point", "low", "high")}
